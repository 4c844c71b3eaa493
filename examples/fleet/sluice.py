"""Grouped rows: several flights of one aircraft, none of them on both sides of the split."""

import sluice

project = sluice.Project(
    name="small-aircraft",
    question="Is a flight on this route, at this hour, flown by an aircraft with fewer than 100 seats?",
    data="data",
    rows=sluice.Rows(table="flights", group="tailnum"),
    label=sluice.Label(column="small"),
    features=["distance", "hour", "minutes", "origin", "dest"],
    train=sluice.Train(baseline="distance"),
    slices=["origin"],
)
