"""Reads a lake's tables (SQL, CSV, JSON) as its data contract describes them, into one dataset."""
