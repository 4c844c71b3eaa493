"""Pipelines on this machine: found, checked, run, and shown while they run."""
