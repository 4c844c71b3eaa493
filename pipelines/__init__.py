"""Sluice's pipelines: one file is one pipeline."""
