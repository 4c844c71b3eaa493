"""Which rows are worked with, and how they are divided into those to learn from and those to judge by."""
