"""From what was found to few alarms: one a cause, with the worst groups, five rows and the next command."""

from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from sluice.monitoring.judged_rows import Flags
from sluice.monitoring.performance import Performance
from sluice.monitoring.records import AlarmRecord, DriftRecord, FaultRecord, SliceRecord
from sluice.monitoring.slices import inside_slice

if TYPE_CHECKING:
    from sluice.monitoring.reference import Reference
    from sluice.monitoring.watching import Window

_ROWS, _COLUMNS, _LETTERS = 5, 8, 24
_MATTERS = 0.02  # a feature that moves less of the forecast can wait


@dataclass(frozen=True)
class Found:
    """All that was found of a window.

    Attributes:
        evidence: By channel; from 1 on it is enough.
        by_labels: The performance by labels.
        estimated: The performance estimated.
        metric: The one that alarms are about.
        least: How much worse it has to be.
        faults: Those with enough evidence, of the most important column first.
        inputs: Features, the one whose move weighs most first.
        outputs: Forecasts.
        slices: The worst groups.
        importance: By feature.
    """

    evidence: Mapping[str, float]
    by_labels: Performance | None
    estimated: Performance | None
    metric: str
    least: float
    faults: tuple[FaultRecord, ...]
    inputs: tuple[DriftRecord, ...]
    outputs: tuple[DriftRecord, ...]
    slices: tuple[SliceRecord, ...]
    importance: Mapping[str, float]

    def worse(self, channel: str, performance: Performance | None) -> float:
        """By how much the metric is worse, where effect and evidence are enough; else 0."""
        main = performance.metrics.get(self.metric) if performance else None
        if main is None or self.evidence.get(channel, 0.0) < 1 or main.worse < self.least:
            return 0.0
        return main.worse

    @property
    def moved(self) -> tuple[DriftRecord, ...]:
        """Features that moved beyond what does not matter."""
        return tuple(each for each in self.inputs if each.distance > each.margin and each.importance > 0)


def alarms_of(found: Found, window: "Window", reference: "Reference", model: str, known: Set[str]) -> list[AlarmRecord]:
    """The alarms of a window: at most one for what the data's makers have to mend and one for the model itself.

    Args:
        found: What was found.
        window: Its rows.
        reference: What it was held to.
        model: For commands; may be empty.
        known: Titles of the alarms of the window before.
    """
    told = _told(found)
    if told is None:
        return []
    severity, title, cause, clause, command = told
    others = tuple(_others(found))
    rows = _examples(found, window, reference)
    alarm = AlarmRecord(
        severity=severity,
        title=title,
        cause=cause,
        clause=clause,
        found=others,
        slices=found.slices,
        rows=rows,
        command=command.format(model=model or "MODEL"),
        new=title not in known,
    )
    return [alarm]


Told = tuple[Literal["page", "look"], str, str, str, str]


def _told(found: Found) -> Told | None:
    """The alarm: by labels first, for they are what is true; a fault is the cause of what else is seen with it."""
    true, guessed = found.worse("by labels", found.by_labels), found.worse("estimated", found.estimated)
    worse = f"{found.metric} is worse" if true else f"{found.metric} is estimated to be worse"
    if found.faults:
        first = found.faults[0]
        important = first.kind == "schema" or found.importance.get(first.column, 1.0) >= _MATTERS
        severity: Literal["page", "look"] = "page" if important or true or guessed else "look"
        where = f" of {first.column}" if first.column else ""
        return severity, f"data broke: {first.kind}{where}", first.words, first.clause, _MEND
    if true:
        return "page", worse, _cause(found, concept=not guessed), "", _ROLL_BACK
    if guessed:
        return "page", worse, _cause(found, concept=False), "", _RETRAIN
    lost = found.estimated is not None and found.estimated.state == "cannot be estimated"
    outputs, inputs = found.evidence.get("outputs", 0.0) >= 1, found.evidence.get("inputs", 0.0) >= 1
    if lost and (outputs or inputs):
        assert found.estimated is not None  # noqa: S101 - for the type checker
        return (
            "page",
            "rows that the model does not know",
            f"{found.estimated.reason}; {_cause(found, concept=False)}",
            "",
            _RETRAIN,
        )
    if outputs:
        return "look", "what the model says has moved", _cause(found, concept=False), "", _WAIT
    if inputs and len(found.moved) > 1:
        return "look", "features that matter have moved together", _cause(found, concept=False), "", _WAIT
    return None


_MEND = "mend the column where it is made, then run the same `sluice monitor` again"
_ROLL_BACK = 'sluice rollback {model} --reason "worse by its labels"   # or train on newer rows: sluice run'
_RETRAIN = "label some of the rows below to be sure, then train on newer rows: sluice run"
_WAIT = "nothing costs yet, as far as can be seen without labels: look at the features below, and label a few rows"


def _cause(found: Found, *, concept: bool) -> str:
    moved = found.moved
    if moved:
        named = ", ".join(f"{each.column} (distance {each.distance:.2f})" for each in moved[:3])
        start = f"rows moved: {named}"
        return (
            f"{start}; that alone does not explain it, so what features mean may have changed too" if concept else start
        )
    if concept:
        return "no feature moved: what the features mean for the label has changed (concept drift)"
    return "no single feature moved; see the worst groups"


def _others(found: Found) -> list[str]:
    """What else was found, in words."""
    words = [each.words for each in found.faults[1:4]]
    for channel, performance in (("by labels", found.by_labels), ("estimated", found.estimated)):
        main = performance.metrics.get(found.metric) if performance else None
        if main is not None and performance is not None:
            words.append(
                f"{found.metric} {channel}: {main.value:.4f} ({main.low:.4f} to {main.high:.4f}), "
                f"in the reference {main.reference:.4f}"
            )
        if performance is not None and performance.state != "told":
            words.append(f"{channel}: {performance.state}, because {performance.reason}")
        if performance is not None and performance.failed:
            words.append(f"{channel}: an assumption fails: {performance.failed}")
    return words


def _examples(found: Found, window: "Window", reference: "Reference") -> tuple[dict[str, str], ...]:
    """Rows of the worst group, or that show the fault; keys and long texts masked."""
    part: Any = window.part
    if not len(part):
        return ()
    columns = [(name, reference.cells[name]) for name in reference.form.features]
    inside = np.ones(len(part), np.bool_)
    first = found.faults[0] if found.faults else None
    if first is None and found.slices and window.judged is not None and len(window.judged) == len(part):
        inside = inside_slice(window.judged, columns, found.slices[0])
    elif first is not None and first.column in part.column_names:
        inside = _showing(first, part, reference)
    places = np.flatnonzero(inside)[:_ROWS]
    order = sorted(reference.form.features, key=lambda name: -found.importance.get(name, 0.0))[:_COLUMNS]
    if first is not None and first.column and first.column not in order:
        order = [first.column, *order[: _COLUMNS - 1]]
    shown = [name for name in (*order, *reference.form.forecasts[-1:]) if name in part.column_names]
    masked = [name for name in reference.form.other if name in part.column_names and not name.startswith("sluice_")][:2]
    return tuple(
        dict.fromkeys(masked, "***") | {name: _cell(part.column(name)[int(place)].as_py()) for name in shown}
        for place in places
    )


def _showing(fault: FaultRecord, part: Any, reference: "Reference") -> Flags:  # noqa: ANN401 - pyarrow
    import pyarrow.compute as pc

    column = part.column(fault.column)
    if fault.kind == "missing values":
        return np.asarray(pc.is_null(column).to_numpy())
    cells = reference.cells[fault.column]
    if fault.kind == "new values":
        known = set(cells.known)
        return np.array([value is not None and str(value) not in known for value in column.to_pylist()], np.bool_)
    return np.ones(len(part), np.bool_)


def _cell(value: object) -> str:
    if value is None:
        return "(missing)"
    if isinstance(value, float):
        return f"{value:.4g}"
    text = str(value)
    return text if len(text) <= _LETTERS else f"{text[:4]}***"
