"""The leakage gate: a feature may rest only on what is known when the prediction is made.

When each source column is known is the data contract's to say; which of them a feature rests on is read off the
expression (`components.prepare.tracing`). What is *observed* at a moment is known an hour later: a feature may rest on
it only through a join that fetched an earlier observation, and the rows themselves are checked for that.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import ibis

from components.common.contracts import Availability, Contract
from components.common.errors import BadInput
from components.prepare.tracing import Source, physical_column, sources_of

LAG_SECONDS = 3600
_KNOWN = {Availability.DEPARTED: "after the event has begun", Availability.ARRIVED: "after the event has ended"}


@dataclass(frozen=True)
class Feature:
    """A feature that passed the gate.

    Attributes:
        name: Its column.
        sources: The physical columns it rests on, as `table.column`.
        availability: When the last of them is known.
        observed_at: The column with the time of the observation it rests on, or None.
    """

    name: str
    sources: tuple[str, ...]
    availability: Availability
    observed_at: str | None = None


def check_features(table: ibis.Table, features: Sequence[str], contract: Contract) -> list[Feature]:
    """Trace features and refuse those known too late.

    Args:
        table: The recipe's table.
        features: Columns of it.
        contract: When each source column is known.

    Raises:
        BadInput: A feature rests on a column that is known too late, or that the contract does not name.
    """
    return [_check(table, name, contract) for name in features]


def check_lag(table: ibis.Table, features: Sequence[Feature], time: str) -> None:
    """Check in the rows that every observation was known, an hour after it was made, at the row's time.

    Args:
        table: The recipe's table.
        features: What `check_features` returned.
        time: The column with the time of prediction, UTC.

    Raises:
        BadInput: An observation is too young.
    """
    resting = {feature.observed_at: feature.name for feature in features if feature.observed_at}
    if not resting:
        return
    ages = {column: (table[time].epoch_seconds() - table[column].epoch_seconds()).min() for column in resting}
    for column, age in table.agg(**ages).to_pyarrow().to_pylist()[0].items():
        if age is not None and age < LAG_SECONDS:
            raise BadInput(
                f"feature {resting[column]!r} rests on an observation ({column}) made {age:.0f} seconds before "
                f"{time}, yet observations are known only {LAG_SECONDS} seconds after they are made; "
                "join an earlier one (components.prepare.joins.join_earlier)"
            )


def _check(table: ibis.Table, name: str, contract: Contract) -> Feature:
    sources = sorted(sources_of(table, name), key=lambda s: (s.table, s.column))
    known = {source: _availability(source, name, contract) for source in sources}
    for source, availability in known.items():
        if availability in _KNOWN:
            raise BadInput(
                f"feature {name!r} rests on {source.table}.{source.column}, which is known only {_KNOWN[availability]} "
                f"(availability {availability.name.lower()} in the contract), so it leaks the answer; "
                "leave it out of the parameter `features`"
            )
    observed = [source for source, availability in known.items() if availability is Availability.OBSERVED]
    stamps = {_stamp(table, name, source, contract) for source in observed}
    if len(stamps) > 1:
        raise BadInput(f"feature {name!r} mixes observations of several times ({', '.join(sorted(stamps))}); split it")
    return Feature(
        name=name,
        sources=tuple(dict.fromkeys(f"{s.table}.{s.column}" for s in sources)),
        availability=max(known.values(), default=Availability.SCHEDULED),
        observed_at=next(iter(stamps), None),
    )


def _availability(source: Source, feature: str, contract: Contract) -> Availability:
    try:
        return contract.availability(source.table, source.column)
    except KeyError:
        raise BadInput(
            f"feature {feature!r} rests on {source.table}.{source.column}, which the contract does not name; "
            "add the column with its availability to contract.yaml"
        ) from None


def _stamp(table: ibis.Table, feature: str, source: Source, contract: Contract) -> str:
    """The recipe's column with the time of the observation, which must have come by the same join as the feature."""
    clock = contract.tables[source.table].freshness_column
    stamp = Source(source.table, clock, source.via) if clock and not source.pooled else None
    for column in table.columns if stamp else ():
        if physical_column(table, column) == stamp:
            return str(column)
    why = "combines several observations" if source.pooled else f"comes without its time ({source.table}.{clock})"
    raise BadInput(
        f"feature {feature!r} rests on {source.table}.{source.column}, an observation that {why}, "
        "so that its age cannot be checked; join it with components.prepare.joins.join_earlier"
    )
