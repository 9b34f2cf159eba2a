"""Generators: networks that make images, and their training."""
