"""Turns artifacts into the tables, figures and logs of a run folder."""
