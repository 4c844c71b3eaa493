"""How values that may be missing stand in a graph's inputs; what a server and a browser need to know of graphs."""

NUMBER, TEXT, MOMENT = "number", "text", "moment"
"""Kinds of inputs: float64 with NaN for missing; a text with ABSENT for missing; int64 microseconds since 1970 (UTC)
with NO_MOMENT for missing."""
IMAGE = "image"
"""A further kind: to a server the bytes of a PNG file, to a graph its pixels, uint8, shape (rows, height, width,
channels); none is missing."""
ABSENT = "\uffff"
"""What stands for a missing text: one of Unicode's noncharacters, which are for a program's own use."""
NO_MOMENT = -(2**63)
INPUT = "in:"
"""What the name of a column's input begins with."""
