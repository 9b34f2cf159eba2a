"""Keeps artifacts by key and tables by schema, in a folder or in an object store."""
