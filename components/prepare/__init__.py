"""Joins validated tables into the one that is learned from, and refuses features that are known too late."""
