"""The leakage gate: a feature may rest only on what is known when the prediction is made.

When each source column is known is the data contract's to say; which of them a feature rests on, and how much older
than the row their rows are at least, is read off the expression (`sluice.leakage.tracing`). What is known only
after its row's timestamp may be used where the expression proves that it comes from rows old enough.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import ibis

from sluice.contract.reading import Availability, Contract
from sluice.core.errors import BadInput
from sluice.leakage.origins import Source, Sources
from sluice.leakage.tracing import Trace, trace

_KNOWN = {
    Availability.OBSERVED: "after it is observed",
    Availability.DEPARTED: "after the event has begun",
    Availability.ARRIVED: "after the event has ended",
}
_HOUR = 3600.0


@dataclass(frozen=True)
class Feature:
    """A feature that passed the gate.

    Attributes:
        name: Its column.
        sources: The columns it rests on, as `table.column`.
        availability: When the last of them is known, in the order of the event's life.
        lag_hours: By how much the rows of what is not scheduled are older than the time of prediction, at least; None
            where all is scheduled.
    """

    name: str
    sources: tuple[str, ...]
    availability: Availability
    lag_hours: float | None = None


@dataclass(frozen=True)
class Gate:
    """Judges the columns of a recipe's table.

    Attributes:
        traced: What each column and the rows rest on.
        contract: When each source column is known.
        time: The column with the time of prediction.
    """

    traced: Trace
    contract: Contract
    time: str

    def feature(self, name: str) -> Feature:
        """Let a feature through.

        Raises:
            BadInput: It rests on a column that is known too late, or that the contract does not name, or on what
                cannot be traced.
        """
        sources = _sorted(self.traced.columns[name])
        for source in sources:
            self._check(source, f"feature {name!r}", "leave it out of the parameter `features`")
        late = [s for s in sources if self._availability(s, name) is not Availability.SCHEDULED]
        return Feature(
            name=name,
            sources=tuple(dict.fromkeys(f"{s.table}.{s.column}" for s in sources)),
            availability=max((self._availability(s, name) for s in sources), default=Availability.SCHEDULED),
            lag_hours=min((self._proven(s) or 0.0 for s in late), default=None) if late else None,
        )

    def rows(self, left_out: str) -> None:
        """Let the rows through: which there are. That each appears once is checked in the data, by the key.

        Args:
            left_out: The column that names why a row is left out: the one door for what is known later.

        Raises:
            BadInput: They rest on what is known too late or cannot be traced.
        """
        for source in _sorted(self.traced.members):
            self._check(
                source,
                "which rows the recipe has",
                f"keep every row and name in the column {left_out!r} why one cannot be learned from",
            )

    def identity(self, names: Sequence[str]) -> None:
        """Let the columns through that identify, order and date rows.

        Raises:
            BadInput: One rests on what is known too late or cannot be traced.
        """
        for name in names:
            for source in _sorted(self.traced.columns[name]):
                self._check(source, f"column {name!r}, by which rows are told apart or dated,", "take another")

    def label(self, name: str) -> None:
        """Check that the label is a question: it rests on something that is not known yet.

        Raises:
            BadInput: It rests on nothing but what is known.
        """
        sources = self.traced.columns[name]
        if sources and all(self._is_known(source) for source in sources if not source.unknown):
            if any(source.unknown for source in sources):
                return
            raise BadInput(
                f"label {name!r} rests only on what is known at the time of prediction ({self.time}): "
                f"{', '.join(sorted({f'{s.table}.{s.column}' for s in sources}))}; say in the contract when they are "
                "known, or ask earlier"
            )

    def timezone(self) -> str:
        """The zone of the days of the time of prediction: that of the table whose timestamps it is, or UTC."""
        tables = {source.table for source in self.traced.columns[self.time]}
        zones = {self.contract.tables[table].timezone for table in tables if table in self.contract.tables}
        return zones.pop() if len(zones) == 1 else "UTC"

    def _check(self, source: Source, what: str, way_out: str) -> None:
        if source.unknown:
            raise BadInput(
                f"{what} passes through {source.unknown}, which cannot be traced; write it with Ibis's joins, filters, "
                f"groups and windows over the tables given, or {way_out}"
            )
        if not self._is_known(source, what):
            raise BadInput(f"{what} rests on {source.table}.{source.column}, {self._reason(source, what)}; {way_out}")

    def _is_known(self, source: Source, what: str = "the label") -> bool:
        if self._availability(source, what) is Availability.SCHEDULED:
            return True
        needed, proven = self.contract.tables[source.table].columns[source.column].lag_hours, self._proven(source)
        return needed is not None and proven is not None and proven >= needed

    def _proven(self, source: Source) -> float | None:
        seconds = dict(source.bounds).get(self.time)
        return None if seconds is None else seconds / _HOUR

    def _reason(self, source: Source, what: str) -> str:
        table = self.contract.tables[source.table]
        column, known = table.columns[source.column], self._availability(source, what)
        said = (
            f"which is known only {_KNOWN[known]} (availability {known.name.lower()} in the contract), so it leaks the "
            "answer"
        )
        if column.lag_hours is None:
            return f"{said}; the contract does not say how long after (known_after_hours), so no history of it is safe"
        if table.clock is None:
            return f"{said}; the contract names no freshness column that dates the rows of {source.table!r}"
        proven = self._proven(source)
        shown = "no lag is proven" if proven is None else f"a lag of {_hours(proven)} is proven"
        return f"{said} unless its rows are at least {_hours(column.lag_hours)} older than {self.time!r}; {shown}"

    def _availability(self, source: Source, what: str) -> Availability:
        try:
            return self.contract.availability(source.table, source.column)
        except KeyError:
            raise BadInput(
                f"{what} rests on {source.table}.{source.column}, which the contract does not name; "
                "add the column with its availability to contract.yaml"
            ) from None


def gate_of(table: ibis.Table, given: Mapping[str, ibis.Table], contract: Contract, time: str) -> Gate:
    """Trace a recipe's table.

    Args:
        table: The recipe's table.
        given: The physical tables that it was built from, by their names in the contract.
        contract: When each of their columns is known.
        time: The column with the time of prediction, UTC.
    """
    clocks = {name: stated.clock for name, stated in contract.tables.items() if stated.clock}
    return Gate(trace(table, given, clocks), contract, time)


def _hours(number: float) -> str:
    return f"{number:g} hour" if number == 1 else f"{number:g} hours"


def _sorted(sources: Sources) -> list[Source]:
    """Sources in an order that does not change: those unknown first, then by name, the weakest bounds first."""
    return sorted(sources, key=lambda s: (not s.unknown, s.unknown, s.table, s.column, sorted(map(repr, s.bounds))))
