"""Turns artifacts into the tables, figures and logs of a run folder.

Receives a `Reported`: plan, study, store and folder. `collect.py` reads artifacts, `statistics.py`
computes tables from them, `write.py` writes all files.
"""
