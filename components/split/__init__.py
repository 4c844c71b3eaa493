"""Divides a table into rows to train on, to validate on and to test on, by time or at random."""
