"""What `import lussweep` offers in a notebook: runs, statistics and cards of a user's own data.

`lussweep/__init__.py` lists the public names. Results of functions are those of `analysis` and
`metrics`; this room converts array-likes, checks them, and calls.
"""
