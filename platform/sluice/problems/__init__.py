"""Kinds of problems: what a label may hold, what a model must beat, and by which metrics it is judged."""
