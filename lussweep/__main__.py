"""`python -m lussweep`."""

from lussweep.cli import main

main()
