"""Parses the command line, calls the other rooms and prints. Each command has one file."""
