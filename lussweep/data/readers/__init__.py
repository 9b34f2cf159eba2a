"""Frames from videos and image folders: one reader for each kind of input."""
