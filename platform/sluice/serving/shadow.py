"""The other version judges a copy of what was asked, off the answer's path, and both are compared row by row.

Champion and challenger, whichever of them answered: the other one is asked in a thread of its own, at a lower priority,
after the answer was sent. It touches no answer and keeps nobody waiting: where the thread cannot keep up, requests are
left out and counted. A model whose questions have effects of their own must not be shadowed; those here have none.
"""

import contextlib
import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sluice.exporting.graph_values import ABSENT, NO_MOMENT
from sluice.serving.aliases import CHALLENGER
from sluice.serving.exchange import Exchange, Loaded, Observer
from sluice.serving.quantiles import QuantileSketch
from sluice.serving.row_schema import Columns, InvalidRows, RowSchema
from sluice.serving.traffic import Stand, unwatched

SHADOW = "shadow"
MOST_WAITING = 256
"""Requests that wait to be compared."""
MOST_ROWS = 20_000
"""Rows of all requests that wait."""
MOST_GROUPS = 20
"""Groups of a slice column that are told apart; the rest is one more."""
OTHERS = "(others)"
_NICE = 10
_QUANTILES = (0.5, 0.9, 0.99)
_EPOCH = np.datetime64(0, "us")


@dataclass
class Likeness:
    """How alike two versions answer.

    Attributes:
        rows: How many were compared.
        alike: Of those, how many got the same class; None for numbers.
        sizes: Of the differences: of the probability that differs most, or of numbers as a share of the champion's.
        total: Their sum.
    """

    rows: int = 0
    alike: int | None = None
    sizes: QuantileSketch = field(default_factory=QuantileSketch)
    total: float = 0.0

    def add(self, sizes: np.ndarray, alike: np.ndarray | None) -> None:
        """Count rows; both of shape (rows,)."""
        self.rows += len(sizes)
        self.sizes.add(sizes)
        self.total += float(sizes[np.isfinite(sizes)].sum())
        if alike is not None:
            self.alike = (self.alike or 0) + int(alike.sum())

    def to_json(self) -> dict[str, Any]:
        """As JSON values; what is not defined is None."""
        rows = self.rows
        return {
            "rows": rows,
            "agreement": self.alike / rows if rows and self.alike is not None else None,
            "mean_difference": self.total / rows if rows else None,
            "differences": {f"{q:g}": self.sizes.quantile(q) for q in _QUANTILES} if self.sizes.count else {},
            "greatest_difference": self.sizes.greatest if rows else None,
        }


@dataclass
class Comparison:
    """Champion and challenger on the same rows.

    Attributes:
        champion: `MODEL/version` and digest.
        challenger: The same.
        whole: All rows.
        slices: By column and group.
        requests: How many were compared.
        left_out: How many were not, for there was no time.
        invalid: How many the other version's contract does not take.
        failed: In how many the other version raised.
    """

    champion: tuple[str, str]
    challenger: tuple[str, str]
    whole: Likeness = field(default_factory=Likeness)
    slices: dict[str, dict[str, Likeness]] = field(default_factory=dict)
    requests: int = 0
    left_out: int = 0
    invalid: int = 0
    failed: int = 0

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        by_slice = {
            column: {group: like.to_json() for group, like in groups.items()} for column, groups in self.slices.items()
        }
        counts = {name: getattr(self, name) for name in ("requests", "left_out", "invalid", "failed")}
        pair = {"champion": self.champion[0], "challenger": self.challenger[0]}
        return pair | counts | self.whole.to_json() | {"slices": by_slice}

    def numbers(self) -> dict[str, float]:
        """What the metrics tell, by name."""
        told = {
            "sluice_shadow_requests_total": float(self.requests),
            "sluice_shadow_left_out_total": float(self.left_out),
            "sluice_shadow_invalid_total": float(self.invalid),
            "sluice_shadow_failed_total": float(self.failed),
            "sluice_shadow_rows_total": float(self.whole.rows),
        }
        if self.whole.alike is not None and self.whole.rows:
            told["sluice_shadow_agreement"] = self.whole.alike / self.whole.rows
        if self.whole.sizes.count:
            told["sluice_shadow_difference_p99"] = self.whole.sizes.quantile(0.99)
        return told


class Shadow:
    """An `Observer` that has the other version judge what one has answered.

    Args:
        stand: Says who can answer at the moment.
        slices: Columns whose groups are told apart.
        observers: Are handed what the other version said, as an exchange of the role `shadow`: a log, statistics.
        share: Of the requests, how many are compared, from 0 to 1.
    """

    def __init__(
        self,
        stand: Callable[[], Stand],
        slices: Sequence[str] = (),
        observers: Sequence[Observer] = (),
        share: float = 1.0,
    ) -> None:
        self._stand, self._slices, self._observers, self._share = stand, tuple(slices), tuple(observers), share
        self._waiting: queue.Queue[tuple[Exchange, Loaded, Comparison] | None] = queue.Queue(MOST_WAITING)
        self._rows, self._turn, self._lock = 0, 0.0, threading.Lock()
        self._thread: threading.Thread | None = None
        self.comparison: Comparison | None = None

    def start(self) -> None:
        """Begin to compare; harmless when it is called again."""
        if self._thread is not None:
            return
        self._thread = threading.Thread(target=self._work, name="sluice-shadow", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Compare what still waits, then end; harmless when it is called again."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._waiting.put(None)
            thread.join(10)

    def observed(self, exchange: Exchange) -> None:
        """See `Observer.observed`."""
        stand = self._stand()
        champion, challenger = stand.champion, stand.challenger
        if champion is None or challenger is None or exchange.loaded not in (champion, challenger):
            return
        other = champion if exchange.loaded is challenger else challenger
        rows = len(exchange.answer.values)
        with self._lock:
            self._turn += self._share
            if self._turn < 1:
                return
            self._turn -= 1
            compared = self._compared(champion, challenger)
            if self._rows + rows > MOST_ROWS or self._waiting.full():
                compared.left_out += 1
                return
            self._rows += rows
            self._waiting.put_nowait((exchange, other, compared))

    def _compared(self, champion: Loaded, challenger: Loaded) -> Comparison:
        """The comparison of these two; a new one where another pair was compared before."""
        pair = (champion.name, champion.digest), (challenger.name, challenger.digest)
        found = self.comparison
        if found is None or (found.champion, found.challenger) != pair:
            found = self.comparison = Comparison(*pair)
        return found

    def _work(self) -> None:
        with contextlib.suppress(OSError):  # of this thread alone, on Linux
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        while (waiting := self._waiting.get()) is not None:
            exchange, other, compared = waiting
            try:
                self._compare(exchange, other, compared)
            except Exception:  # noqa: BLE001 - whatever a version raises, answers go on
                compared.failed += 1
            finally:
                with self._lock:
                    self._rows -= len(exchange.answer.values)

    def _compare(self, exchange: Exchange, other: Loaded, compared: Comparison) -> None:
        begun = time.perf_counter()
        try:
            columns = columns_for(other.judge.schema, exchange.columns, exchange.loaded.judge.schema)
        except InvalidRows:
            compared.invalid += 1
            return
        answer = unwatched(other.judge).judge(columns)
        seconds = time.perf_counter() - begun
        said = {exchange.loaded.role: exchange.answer, other.role: answer}
        champion, challenger = (said[role] for role in sorted(said, key=lambda role: role == CHALLENGER))
        sizes = differences(champion.values, challenger.values)
        alike = None
        if champion.called is not None and challenger.called is not None:
            alike = champion.called == challenger.called
        compared.requests += 1
        compared.whole.add(sizes, alike)
        self._add_slices(compared, exchange.columns, sizes, alike)
        if self._observers:
            seen = Loaded(other.name, other.judge, SHADOW)
            asked = exchange.columns | columns  # with what else the request carried, such as a key
            copy = Exchange(exchange.request, exchange.moment, seen, asked, answer, seconds, exchange.subject)
            for observer in self._observers:
                observer.observed(copy)

    def _add_slices(self, compared: Comparison, columns: Columns, sizes: np.ndarray, alike: np.ndarray | None) -> None:
        for column in self._slices:
            values = columns.get(column)
            if values is None:
                continue
            groups = compared.slices.setdefault(column, {})
            words = np.array([_word(value) for value in values.tolist()], object)
            for word in dict.fromkeys(words.tolist()):
                inside = words == word
                name = word if word in groups or len(groups) < MOST_GROUPS else OTHERS
                groups.setdefault(name, Likeness()).add(sizes[inside], None if alike is None else alike[inside])


def differences(champion: np.ndarray, challenger: np.ndarray) -> np.ndarray:
    """How far two answers are from each other, shape (rows,).

    For classes the greatest difference of any class's probability; for numbers the difference as a share of the
    champion's number, or of 1 where that is smaller. NaN where either is no number.
    """
    apart = np.abs(challenger - champion)
    if apart.ndim == 2:
        return np.asarray(apart.max(axis=1))
    return np.asarray(apart / np.maximum(np.abs(champion), 1.0))


def columns_for(schema: RowSchema, columns: Columns, of: RowSchema) -> Columns:
    """Rows that one version's contract took, as another version's takes them; what else a request carried is left out.

    Raises:
        InvalidRows: The other contract does not take them.
    """
    if schema.fields == of.fields:
        return {each.name: columns[each.name] for each in schema.fields}
    names = [each.name for each in of.fields]
    values = [_given(columns[each.name], each.type) for each in of.fields]
    return schema.columns([dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)])


def _given(column: np.ndarray, kind: str) -> list[Any]:
    """A column's values as a caller would give them."""
    if kind == "string":
        return [None if value == ABSENT else value for value in column.tolist()]
    if kind in ("timestamp", "date"):
        moments = (_EPOCH + column.astype("timedelta64[us]")).tolist()
        return [None if raw == NO_MOMENT else moment for raw, moment in zip(column.tolist(), moments, strict=True)]
    known = [None if value != value else value for value in column.tolist()]
    return [None if value is None else bool(value) for value in known] if kind == "bool" else known


def _word(value: Any) -> str:  # noqa: ANN401 - of an array
    if value == ABSENT or value != value:
        return "(missing)"
    return f"{value:g}" if isinstance(value, float) else str(value)[:80]
