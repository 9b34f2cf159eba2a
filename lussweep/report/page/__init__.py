"""The page of a report: one HTML file that holds everything and loads nothing.

`answer.py` writes the paragraph at the top, `verdicts.py` its sentences on contrasts. `chapters/`
has one file for each family of parts of the page, `templates/` one template for each part.
`write.py` renders them.
"""
