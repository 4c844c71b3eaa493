"""Holding tables to their data contract."""
