"""Drawing samples and splitting rows, with the design on record."""
