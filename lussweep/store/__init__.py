"""Artifacts and tables, in a folder or in an object store."""
