"""From artifacts to the files that readers open."""
