"""The `sluice` command."""

from sluice.own_packages import unhide

unhide()
