"""Holds a lake's tables to their data contract; the first gate."""
