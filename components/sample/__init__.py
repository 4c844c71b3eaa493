"""Draws a seeded random sample, simple or stratified, that is the same on every engine."""
