"""What a version's tags say of the folder that is served for it."""

SERVED, SERVED_HOW = "sluice.served", "sluice.served_how"
"""The folder's id in the store (`models/<id>`); in words how it is served and how near it is, or why there is none."""
