"""`python -m sluice` is the `sluice` command; in the folder of a project with a sluice.py it is `python -P -m sluice`.

Without -P, Python looks into the folder first and takes the project's file for this package.
"""

from sluice.cli.main import main

main()
