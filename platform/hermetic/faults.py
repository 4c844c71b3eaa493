"""The two ways in which the builder stops: what the caller can mend (exit code 2), and what the machine lacks (1)."""

from __future__ import annotations


class Fault(Exception):
    """A fault of the machine, a service or a build, said in one line; the program ends with exit code 1."""

    exit_code = 1


class BadUse(Fault):
    """A wrong argument or table entry, said in one line with the way out; the program ends with exit code 2."""

    exit_code = 2
