"""Frames from files: videos, image folders, and the size that their headers say."""
