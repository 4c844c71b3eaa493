"""Choosing among candidates, and judging the choice: intervals, calibration, slices, the gate."""
