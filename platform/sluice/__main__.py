"""`python -m sluice` is the `sluice` command."""

from sluice.cli.main.main import main

main()
