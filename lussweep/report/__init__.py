"""Turns artifacts into the tables, figures and logs of a run folder.

`reported.py` names the run that is reported. `sections/` has one file for each family of tables,
`views.py` an entry for each figure, summary and log. `write.py` writes and lists what these two
hold.
"""
