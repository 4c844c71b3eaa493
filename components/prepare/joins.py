"""Joining what was known in time."""

from collections.abc import Sequence

import ibis

KNOWN_AT = "_known_at"


def join_earlier(
    events: ibis.Table,
    observations: ibis.Table,
    on: Sequence[str],
    time: str,
    columns: Sequence[str],
    *,
    hours: int = 1,
) -> ibis.Table:
    """Give each event the observation made some hours before it.

    Args:
        events: Rows with the columns `on` and `time`.
        observations: At most one row for each value of `on` and `time`.
        on: Columns that must agree, such as the place.
        time: The timestamp column of both, on the hour.
        columns: What to take from the observation.
        hours: How much older the observation is than the event.

    Returns:
        All events, with `columns` (null where nothing was observed) and `observed_at`, the time of the observation.
    """
    names = {f"_{name}": observations[name] for name in on}
    earlier = observations.select(*columns, observed_at=observations[time], **names)
    earlier = earlier.mutate(**{KNOWN_AT: earlier.observed_at + ibis.interval(hours=hours)})
    matches = [events[name] == earlier[f"_{name}"] for name in on]
    joined = events.left_join(earlier, [*matches, events[time] == earlier[KNOWN_AT]])
    return joined.drop(*names, KNOWN_AT)
