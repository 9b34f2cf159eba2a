"""The command line: a file a command parses, calls and prints."""
