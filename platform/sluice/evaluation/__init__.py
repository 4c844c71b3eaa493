"""Judging models: metrics, the record of an evaluation, and what a forecast of numbers is judged by."""
