"""The leakage gate: a feature may rest only on what is known when the question is asked.

When each source column is known is the data contract's to say: some time after its row's time, at a named moment, or
always. Which columns a feature rests on, and how much older than the row their rows are at least, is read off the
expression (`sluice.leakage.tracing`). What is known only some time after its row's time may be used where the
expression proves that it comes from rows old enough. What nobody has said is refused, with the line to add.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import ibis

from sluice.contract.availability import KNOWN_ALWAYS
from sluice.contract.reading import CONTRACT, Availability, Contract
from sluice.core.durations import duration_text, duration_words, is_duration
from sluice.core.errors import BadInput
from sluice.leakage.origins import Origin, Sources
from sluice.leakage.tracing import Trace, trace

_HOUR = 3600.0
_UNSAID = Availability("with the label", None)
_WAY_OUT = "leave it out of `features`"


@dataclass(frozen=True)
class Feature:
    """A feature that passed the gate.

    Attributes:
        name: Its column.
        sources: The columns it rests on, as `table.column`.
        availability: When the last of them is known.
        lag_hours: By how much the rows are older than the time of the question, at least, of what is known only after
            its row's time, or else of what is known with its row; None where all is always known, or the question has
            no time.
    """

    name: str
    sources: tuple[str, ...]
    availability: Availability
    lag_hours: float | None = None


@dataclass(frozen=True)
class Answer:
    """The one column of the lake that is the label, where the contract does not say itself when it is known.

    Attributes:
        table: Its table.
        column: Its name there.
        known: When the label is known.
    """

    table: str
    column: str
    known: Availability


@dataclass(frozen=True)
class LeakageGate:
    """Judges the columns of a table that is to be learned from.

    The question is asked at a row's time: `_is_known` is the one place to change for one that is asked later.

    Attributes:
        traced: What each column and the rows rest on.
        contract: When each source column is known.
        time: The column with the time at which the question is asked of a row; None where rows have no time.
        answer: The column of the lake that is the label, where the contract is silent on it.
        label_known: When the label is known, as the project says it; None where it does not.
    """

    traced: Trace
    contract: Contract
    time: str | None
    answer: Answer | None = None
    label_known: Availability | None = None

    def for_label(self, name: str, known: str | None) -> "LeakageGate":
        """The same gate, which holds the label's own column for unknown until the label is known.

        It speaks where the contract is silent: of a column that alone is the label, and of which the contract does not
        say itself when it is known. A label of several columns is the contract's.

        Args:
            name: The label.
            known: When it is known, as the project says it: a lag after the row's time, or a moment of the contract.

        Raises:
            BadInput: `known` is neither.
        """
        said = self.contract.moment(known, "label.known") if known else None
        sources = {(s.table, s.column) for s in self.traced.columns[name] if not s.unknown}
        table, column = sources.pop() if len(sources) == 1 else ("", "")
        stated = self.contract.tables.get(table)
        said_of = stated.columns.get(column) if stated else None
        silent = stated and said_of and not (said_of.known or said_of.availability)
        if not silent or column in (*stated.key, stated.dated_by, self.time):  # type: ignore[union-attr]
            return replace(self, label_known=said)
        return replace(self, label_known=said, answer=Answer(table, column, said or _UNSAID))

    def feature(self, name: str) -> Feature:
        """Let a feature through.

        Raises:
            BadInput: It rests on a column that is known too late, of which nobody has said when it is known, or that
                the contract does not name, or on what cannot be traced.
        """
        sources = _sorted(self.traced.columns[name])
        for source in sources:
            self._check(source, f"feature {name!r}", _WAY_OUT)
        stated = {source: self._availability(source, name) or KNOWN_ALWAYS for source in sources}
        later = [source for source in sources if not stated[source].with_its_row]
        dated = later or [source for source in sources if not stated[source].always]
        return Feature(
            name=name,
            sources=tuple(dict.fromkeys(f"{s.table}.{s.column}" for s in sources)),
            availability=max(stated.values(), key=lambda known: known.order, default=KNOWN_ALWAYS),
            lag_hours=min(((self._proven(s) or 0.0) / _HOUR for s in dated), default=None) if self.time else None,
        )

    def reason(self, name: str, error: BadInput) -> str:
        """Why a feature was refused, without its name and the way out."""
        return str(error).removeprefix(f"feature {name!r} ").removesuffix(f"; {_WAY_OUT}")

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
                "which rows there are",
                f"keep every row and name in the column {left_out!r} why one cannot be learned from",
            )

    def identity(self, names: Sequence[str]) -> None:
        """Let the columns through that identify, order and date rows.

        Raises:
            BadInput: One rests on what is known too late or cannot be traced, or the time is a column that may be
                missing.
        """
        for name in names:
            for source in _sorted(self.traced.columns[name]):
                if source.unknown or self._availability(source, name) is not None:
                    self._check(source, f"column {name!r}, by which rows are told apart or dated,", "take another")
        for source in _sorted(self.traced.columns[self.time]) if self.time else ():
            stated = self.contract.tables[source.table]
            if stated.columns[source.column].nullable and source.column == self.time and not stated.dated_by:
                raise BadInput(
                    f"column {self.time!r} dates the rows, so it must never be missing; take nullable: true away from "
                    f"{source.table}.{source.column} in {CONTRACT}, or take another"
                )

    def label(self, name: str) -> None:
        """Check that the label is a question: it rests on something that is not known yet.

        Raises:
            BadInput: It rests on nothing but what is known.
        """
        sources = self.traced.columns[name]
        if not self.time or not sources or any(source.unknown for source in sources):
            return
        if all(self._is_known(source) for source in sources):
            named = sorted({f"{s.table}.{s.column}" for s in sources})
            known = duration_text(self.label_known.lag) if self.label_known and self.label_known.lag else "30d"
            raise BadInput(
                f"label {name!r} rests only on what is known when the question is asked ({self.time}): "
                f"{', '.join(named)}; say in {CONTRACT} when it is known, such as known: {known}, or ask earlier"
            )

    def label_lag(self, name: str) -> float | None:
        """How many seconds after the row's time the label is known at the latest; None where nothing tells it.

        It is what the project says, else what follows from the contract for the columns that the label rests on.

        Raises:
            BadInput: The project says that it is known before a column is that it rests on.
        """
        if not self.time:
            return None
        derived, stated = self._derived_lag(name), self.label_known.lag if self.label_known else None
        if stated is None:
            return derived
        if derived is not None and stated < derived:
            raise BadInput(
                f"label {name!r} is said to be known {duration_text(stated)} after {self.time!r}, yet the contract has "
                f"it known {duration_words(derived)} after it; say known: {duration_text(derived)}"
            )
        return max(stated, 0.0)

    def _derived_lag(self, name: str) -> float | None:
        latest = 0.0
        for source in self.traced.columns[name]:
            known = None if source.unknown else self._availability(source, f"label {name!r}")
            proven = self._proven(source)
            if known is None or known.lag is None or (proven is None and not known.always):
                return None
            latest = latest if known.always else max(latest, known.lag - (proven or 0.0))
        return latest

    def timezone(self) -> str:
        """The zone of the days of the question's time: that of the table whose timestamps it is, or UTC."""
        tables = {source.table for source in self.traced.columns[self.time]} if self.time else set()
        zones = {self.contract.tables[table].timezone for table in tables if table in self.contract.tables}
        return zones.pop() if len(zones) == 1 else "UTC"

    def _check(self, source: Origin, what: str, way_out: str) -> None:
        if source.unknown:
            raise BadInput(
                f"{what} passes through {source.unknown}, which cannot be traced; write it with Ibis's joins, filters, "
                f"groups and windows over the tables given, or {way_out}"
            )
        if not self._is_known(source, what):
            raise BadInput(f"{what} rests on {source.table}.{source.column}, {self._reason(source, what)}; {way_out}")

    def _is_known(self, source: Origin, what: str = "the label") -> bool:
        known = self._availability(source, what)
        if known is None:
            return not self.time
        if not self.time or known.always:
            return known.with_its_row
        proven = self._proven(source)
        return known.lag is not None and proven is not None and proven >= known.lag

    def _proven(self, source: Origin) -> float | None:
        """How many seconds older than the question the rows of a source are at least, or None."""
        return dict(source.bounds).get(self.time) if self.time else None

    def _reason(self, source: Origin, what: str) -> str:
        known = self._availability(source, what)
        if known is None:
            return self._undeclared(source)
        if known is _UNSAID and not self.time:
            return "which is the label itself"
        if known is _UNSAID:
            return (
                f"of which the label is made, and nobody has said when that is known: add to {CONTRACT} "
                f"{_line(source)}: known: 30d, or as long after its row's time as it takes"
            )
        said = f"which is known only {_when(known)}, so it leaks the answer"
        if not self.time:
            return f"{said}; rows that have no time have no history either"
        if known.lag is None:
            return (
                f"{said}; nobody has said how long after its row's time that is, so no history of it is safe: "
                f"add {_line(source)}: {{availability: {known.name}, known: 24h}}, or as long as it takes"
            )
        if self.contract.clock(source.table) is None:
            return f"{said}; the contract names no time that dates the rows of {source.table!r}, as `time: COLUMN` does"
        proven = self._proven(source)
        shown = "no lag is proven" if proven is None else f"a lag of {_signed(proven)} is proven"
        older = "no younger" if not known.lag else f"at least {duration_words(known.lag)} older"
        older = older if known.lag >= 0 else f"at most {duration_words(-known.lag)} younger"
        return f"{said} unless its rows are {older} than {self.time!r}; {shown}"

    def _undeclared(self, source: Origin) -> str:
        time = self.contract.tables[source.table].dated_by
        return (
            f"and nobody has said when that is known; add to {CONTRACT} {_line(source)}: known: 0s where it is "
            f"known at its row's time ({time}), known: 30d where it takes so long, or known: always"
        )

    def _availability(self, source: Origin, what: str) -> Availability | None:
        if self.answer and (source.table, source.column) == (self.answer.table, self.answer.column):
            return self.answer.known
        try:
            return self.contract.availability(source.table, source.column)
        except KeyError:
            raise BadInput(
                f"{what} rests on {source.table}.{source.column}, which the contract does not name; "
                f"add the column to {CONTRACT} with its type and when it is known"
            ) from None


def gate_of(
    table: ibis.Table,
    given: Mapping[str, ibis.Table],
    contract: Contract,
    time: str | None,
) -> LeakageGate:
    """Trace a table that is to be learned from.

    Args:
        table: The table.
        given: The physical tables that it was built from, by their names in the contract.
        contract: When each of their columns is known.
        time: The column with the time at which the question is asked, UTC; None where rows have no time.
    """
    dated = _dated(table, given, contract, time)
    clocks = {name: clock for name in dated.tables if (clock := dated.clock(name))}
    arriving = {name for name, clock in clocks.items() if not _always(dated, name, clock)}
    return LeakageGate(trace(table, given, clocks, arriving), dated, time)


def _dated(table: ibis.Table, given: Mapping[str, ibis.Table], contract: Contract, time: str | None) -> Contract:
    """The contract, where the question's time is that of the table it comes from: the project may say what it does not.

    Without a time in the contract the table would count as one without history, and all of it as known.
    """
    if time is None or time not in table.columns:
        return contract
    for source in trace(table, given).columns[time]:
        stated = contract.tables.get(source.table)
        column = stated.columns.get(source.column) if stated else None
        if stated and column and not stated.dated_by and not column.nullable and column.type in ("timestamp", "date"):
            contract = contract.with_time(source.table, source.column)
    return contract


def _always(contract: Contract, table: str, column: str) -> bool:
    known = contract.availability(table, column)
    return known is not None and known.always


def _when(known: Availability) -> str:
    if known.lag is None or not is_duration(known.name):
        return f"at the moment {known.name!r} of the contract"
    if not known.lag:
        return "from its row's time on"
    return f"{duration_words(abs(known.lag))} {'after' if known.lag > 0 else 'before'} its row's time"


def _line(source: Origin) -> str:
    return f"tables.{source.table}.columns.{source.column}"


def _signed(seconds: float) -> str:
    """A lag in words."""
    return duration_words(seconds) if math.isfinite(seconds) else "no end"


def _sorted(sources: Sources) -> list[Origin]:
    """Sources in an order that does not change: those unknown first, then by name, the weakest bounds first."""
    return sorted(sources, key=lambda s: (not s.unknown, s.unknown, s.table, s.column, sorted(map(repr, s.bounds))))
