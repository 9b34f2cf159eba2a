"""Frames from videos and image folders, and the sizes that their headers claim."""
