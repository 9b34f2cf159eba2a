"""Parses the command line, calls the other rooms and prints. Each command has one file.

`options.py` has the options that several commands share, `arguments.py` makes a run of them.
"""
