"""`python -m lussweep`."""

from lussweep.cli.app import main

main()
