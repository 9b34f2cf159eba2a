"""A run folder: open, hold, drive and watch it."""
