"""One window after the other: how good the model is, what broke, what moved, and whether somebody has to look.

All tests of a model share one rate of false alarms. Each channel has a detector (`evidence`) and a part of the rate:
performance by labels and estimated, what the model says, its features weighted by what they move, and for each column
whether it broke. A drift of one feature alone is never an alarm.
"""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import stats

from sluice.contract.reading import Column
from sluice.core.memory import give_back
from sluice.monitoring.alarms import Found, alarms_of
from sluice.monitoring.column_counts import Counted, count, watched
from sluice.monitoring.density_ratio import DensityRatio
from sluice.monitoring.distances import beyond_noise, distance_p_value
from sluice.monitoring.evidence import Detectors, least_p_value, limit_of, normal_p_value
from sluice.monitoring.faults import TESTS, Fault, clause_on, column_faults, repeated_rows
from sluice.monitoring.judged_rows import JudgedRows
from sluice.monitoring.performance import Compared, Performance, Wanted, estimated_performance, true_performance
from sluice.monitoring.records import (
    DriftRecord,
    FaultRecord,
    MetricRecord,
    PerformanceRecord,
    SliceRecord,
    WatchSettings,
    WatchState,
    WindowRecord,
)
from sluice.monitoring.reference import Reference, judged_rows, learn_reference, repeated, season_of, with_quantiles
from sluice.monitoring.row_tables import RowForm, RowTable, kind_of
from sluice.monitoring.slices import row_losses, worst_slices

BY_LABELS, ESTIMATED, OUTPUTS, INPUTS, DATA = "by labels", "estimated", "outputs", "inputs", "data"
PARTS = {BY_LABELS: 0.3, ESTIMATED: 0.25, OUTPUTS: 0.15, INPUTS: 0.15, DATA: 0.15}
"""Which part of the false alarms each channel may use."""
_Estimated = tuple[Performance, DensityRatio | None]
_KEPT = 4  # estimates of the newest windows: their labels come soon after
_LEAST_SHARE = 0.5  # of the effect that is to be found: noise may make it look that small


class Watch:
    """A model, held to its reference window after window."""

    def __init__(
        self,
        table: RowTable,
        form: RowForm,
        settings: WatchSettings,
        contract: Mapping[str, Column] | None = None,
        state: WatchState | None = None,
        model: str = "",
    ) -> None:
        """Learn the reference.

        Args:
            table: Its rows.
            form: What their columns are.
            settings: How to watch.
            contract: What a contract says of columns, by name.
            state: Of the windows before.
            model: `MODEL/version` or its digest, for commands.
        """
        self.settings, self._contract, self._model = settings, contract or {}, model
        self.whole = learn_reference(table, form, settings)
        give_back()
        self._seasons: dict[str, Reference] = {"": self.whole}
        began = state or WatchState()
        limit = limit_of(settings.windows, settings.false_alarms)
        self._detectors = Detectors(limit, dict(began.sums))
        self._known = set(began.known)
        self._estimates: dict[tuple[int, bytes], _Estimated] = {}

    @property
    def state(self) -> WatchState:
        """What the next window has to know."""
        return WatchState(sums=dict(self._detectors.sums), known=tuple(sorted(self._known)))

    def reference_for(self, table: RowTable) -> Reference:
        """The reference rows of the window's season."""
        condition = season_of(table, self.whole.form, self.settings)
        if condition not in self._seasons:
            chosen = self.whole.table.within(condition)
            self._seasons[condition] = learn_reference(chosen, self.whole.form, self.settings)
        return self._seasons[condition]

    def judge(
        self, table: RowTable, name: str, *, only: Collection[str] = (), unweighed: Collection[str] = ()
    ) -> WindowRecord:
        """Judge a window.

        Args:
            table: Its rows, with the reference's columns; the label may be absent.
            name: As the record says it.
            only: Channels that count as evidence, where the others did before: no window counts twice.
            unweighed: Channels that do not count as evidence yet.
        """
        reference = self.reference_for(table)
        window = _looked_at(table, reference, self.settings)
        wanted = self._wanted(reference)
        by_labels, estimated, ratio = self._performance(reference, window, wanted)
        p_values: dict[str, float] = {}
        shares: dict[str, float] = {}
        for channel, told in ((BY_LABELS, by_labels), (ESTIMATED, estimated)):
            main = told.metrics.get(self.settings.metric) if told else None
            shares[channel] = PARTS[channel]
            if main is not None:
                p_values[channel] = normal_p_value(main.worse, main.lasting, main.noise)
        drifts = {each: _drift(each, reference, window.counted) for each in reference.cells if each in window.counted}
        faults = list(_faults(reference, window, drifts, self._contract))
        for key, p_value, share in _column_tests(reference, drifts, faults):
            p_values[key], shares[key] = p_value, share
        weighed = {key: each for key, each in p_values.items() if key not in unweighed and (not only or key in only)}
        along = dict.fromkeys(p_values, 0.0) | self._detectors.add(weighed, shares)
        inputs = sum(along.get(f"{INPUTS}:{each}", 0.0) for each in reference.form.features)
        outputs = sum(along.get(f"{OUTPUTS}:{each}", 0.0) for each in reference.form.forecasts)
        evidence = {
            BY_LABELS: along.get(BY_LABELS, 0.0),
            ESTIMATED: along.get(ESTIMATED, 0.0),
            OUTPUTS: outputs,
            INPUTS: inputs,
            DATA: max((along[f"{DATA}:{each.column}:{each.kind}"] for each in faults), default=0.0),
        }
        moved = [_drift_record(each, reference, drifts[each], along) for each in drifts]
        fault_records = [
            FaultRecord(
                column=each.column,
                kind=each.kind,
                words=each.words,
                clause=each.clause,
                evidence=along[f"{DATA}:{each.column}:{each.kind}"],
            )
            for each in faults
            if along[f"{DATA}:{each.column}:{each.kind}"] >= 1
        ]
        slices = _slices(reference, window, ratio)
        found = Found(
            evidence=evidence,
            by_labels=by_labels,
            estimated=estimated,
            metric=self.settings.metric,
            least=_LEAST_SHARE * self.settings.effect,
            faults=tuple(sorted(fault_records, key=lambda each: -reference.importance.get(each.column, 0.0))),
            inputs=tuple(sorted((d for d in moved if d.column in reference.form.features), key=_weight)),
            outputs=tuple(d for d in moved if d.column in reference.form.forecasts),
            slices=tuple(slices),
            importance=reference.importance,
        )
        alarms = alarms_of(found, window, reference, self._model, self._known)
        self._known = {each.title for each in alarms} | (self._known if only else set())
        if alarms and not only:
            for channel in list(self._detectors.sums):
                if along.get(channel, 0.0) >= 1 or channel.startswith((INPUTS, OUTPUTS)):
                    self._detectors.restart(channel)
        return WindowRecord(
            name=name,
            rows=table.rows,
            reference_rows=reference.table.rows,
            by_labels=_record(by_labels),
            estimated=_record(estimated),
            slices=tuple(slices),
            faults=found.faults,
            outputs=found.outputs,
            inputs=found.inputs,
            evidence=evidence,
            alarms=tuple(alarms),
            notes=tuple(self._notes(reference, window)),
        )

    def judge_labels(self, table: RowTable, name: str, before: WindowRecord, *, weigh: bool) -> WindowRecord:
        """Judge a window again, for labels that have come since.

        Args:
            table: Its rows with the labels that are known now.
            name: As the record says it.
            before: What was found of it first.
            weigh: Whether the labels count as evidence now; they do once.

        Returns:
            The record of before with the performance as it is known now, and with the alarm that its labels make.
        """
        nothing = ("",)  # the name of no channel
        again = self.judge(table, name, only=(BY_LABELS,) if weigh else nothing)
        evidence = before.evidence | {BY_LABELS: again.evidence[BY_LABELS]}
        old = tuple(each.model_copy(update={"new": False}) for each in before.alarms)
        return before.model_copy(
            update={
                "by_labels": again.by_labels,
                "slices": again.slices,
                "evidence": evidence,
                "alarms": (*again.alarms, *old),
            }
        )

    def _performance(
        self, reference: Reference, window: "Window", wanted: Wanted
    ) -> tuple[Performance | None, Performance | None, DensityRatio | None]:
        """By labels where some have come, and estimated; None where there is nothing to say it by."""
        if reference.judged is None or reference.known is None:
            return None, None, None
        if window.judged is None:
            lost = [
                name for name in (*reference.form.features, *reference.form.forecasts) if name not in window.counted
            ]
            words = f"column {lost[0]!r} is missing"
            return None, Performance("none", "cannot be estimated", words, window.table.rows, 0), None
        by_labels = None
        if window.judged.labelled.any():
            by_labels = true_performance(reference.known, window.judged, wanted)
        estimated, ratio = self._estimate(reference, window.judged, wanted)
        return by_labels, replace(estimated, labelled=int(window.judged.labelled.sum())), ratio

    def _estimate(self, reference: Reference, rows: JudgedRows, wanted: Wanted) -> _Estimated:
        """The estimate rests on no label, and is most of the work: when labels come, that of before is taken."""
        assert reference.judged is not None, "who calls this has looked"  # noqa: S101
        assert reference.known is not None, "who calls this has looked"  # noqa: S101
        place = id(reference), hashlib.sha256(rows.known.tobytes()).digest()
        if place not in self._estimates:
            self._estimates[place] = estimated_performance(reference.judged, reference.known, rows, wanted)
            for old in list(self._estimates)[:-_KEPT]:
                del self._estimates[old]
        return self._estimates[place]

    def _wanted(self, reference: Reference) -> Wanted:
        p_value = least_p_value(self._detectors.limit / PARTS[BY_LABELS])
        surprise = float(stats.norm.isf(p_value))
        return Wanted(self.settings.metric, self.settings.effect, surprise, reference.widening)

    def _notes(self, reference: Reference, window: "Window") -> list[str]:
        notes = []
        if reference.clocks:
            notes.append(
                f"{', '.join(reference.clocks)} only grows with time in the reference, so later rows lie beyond it "
                "whatever else changed: it is not watched, and estimates take it that the model is right about it."
            )
        if not reference.form.forecasts:
            notes.append("The reference has no forecast, so nothing is said of performance: data and drift alone.")
        elif reference.known is None:
            notes.append("The reference has too few labels, so a performance has nothing to be held to.")
        if not reference.windows:
            notes.append(
                "Rows have no moment, or no window's length was given: how much windows differ without a change is "
                "not known, and the settings' margins hold."
            )
        if window.table.rows > len(window.part):
            notes.append(
                f"Performance is of {len(window.part):,} random rows; counts are of all {window.table.rows:,}."
            )
        return notes


@dataclass(frozen=True)
class Window:
    """A window's rows: all of them as a table, counts by column, and a part of them one by one."""

    table: RowTable
    counted: dict[str, Counted]
    part: Any
    judged: JudgedRows | None
    repeated: int


def _looked_at(table: RowTable, reference: Reference, settings: WatchSettings) -> Window:
    form = reference.form
    names = [*form.features, *form.forecasts, form.called, form.label, *form.other]
    there = list(dict.fromkeys(name for name in names if name and name in table.columns))
    part = table.part(there, settings.rows, watched(form))
    counted = with_quantiles(count(table, reference.cells), reference.cells, part)
    whole = all(name in table.columns for name in (*form.features, *form.forecasts))
    judged = judged_rows(part, form, reference.cells) if form.forecasts and whole else None
    again = repeated(table, form)
    give_back()
    return Window(table, counted, part, judged, again)


@dataclass(frozen=True)
class _Drift:
    distance: float
    p_value: float


def _drift(name: str, reference: Reference, counted: Mapping[str, Counted]) -> _Drift:
    now, before = counted[name].with_missing, reference.counted[name].with_missing
    return _Drift(beyond_noise(now, before), distance_p_value(now, before, reference.margins[name]))


def _faults(
    reference: Reference, window: Window, drifts: Mapping[str, _Drift], contract: Mapping[str, Column]
) -> list[Fault]:
    found: list[Fault] = []
    for name in reference.form.features:
        before = reference.counted[name]
        usual = round(reference.missing[name] * before.rows)
        before = before if usual <= before.missing else _with_missing(before, usual)
        distance = drifts[name].p_value if name in drifts else 0.0
        found += column_faults(name, reference.cells[name], before, window.counted.get(name), distance, contract)
    for name in reference.form.features:
        if name in window.counted and kind_of(window.table.columns[name]) != reference.cells[name].kind:
            kind = window.table.columns[name]
            words = f"{name} is of type {kind}, and a {reference.cells[name].kind} in the reference"
            found.append(Fault(name, "schema", words, clause_on(name, "type", contract.get(name)), 0.0))
    found.append(repeated_rows(window.repeated, window.table.rows, reference.repeated, reference.table.rows))
    return found


def _with_missing(counted: Counted, missing: int) -> Counted:
    return replace(counted, missing=missing)


def _column_tests(
    reference: Reference, drifts: Mapping[str, _Drift], faults: list[Fault]
) -> list[tuple[str, float, float]]:
    """Each column's channels: name, p-value, and part of the false alarms."""
    found = []
    for name, each in drifts.items():
        if name in reference.form.forecasts:
            found.append((f"{OUTPUTS}:{name}", each.p_value, PARTS[OUTPUTS] / len(reference.form.forecasts)))
        else:
            found.append((f"{INPUTS}:{name}", each.p_value, PARTS[INPUTS] * reference.importance.get(name, 0.0)))
    count_of = TESTS * (len(reference.form.features) + 1)
    found += [(f"{DATA}:{each.column}:{each.kind}", each.p_value, PARTS[DATA] / count_of) for each in faults]
    return found


def _drift_record(name: str, reference: Reference, drift: _Drift, along: Mapping[str, float]) -> DriftRecord:
    output = name in reference.form.forecasts
    return DriftRecord(
        column=name,
        distance=drift.distance,
        margin=reference.margins[name],
        importance=1.0 if output else reference.importance.get(name, 0.0),
        evidence=along.get(f"{OUTPUTS if output else INPUTS}:{name}", 0.0),
    )


def _weight(drift: DriftRecord) -> tuple[float, str]:
    return -max(0.0, drift.distance - drift.margin) * drift.importance, drift.column


def _slices(reference: Reference, window: Window, ratio: DensityRatio | None) -> list[SliceRecord]:
    if reference.judged is None or reference.known is None or window.judged is None or ratio is None:
        return []
    columns = [(name, reference.cells[name]) for name in reference.form.features]
    losses = row_losses(reference.judged, window.judged, ratio.reference)
    return worst_slices(reference.judged, window.judged, losses, columns, reference.importance)


def _record(found: Performance | None) -> PerformanceRecord | None:
    if found is None:
        return None
    return PerformanceRecord(
        how=found.how,
        state=found.state,
        reason=found.reason,
        rows=found.rows,
        labelled=found.labelled,
        metrics={name: _metric(each) for name, each in found.metrics.items()},
        effective_rows=_finite(found.effective_rows),
        foreign=_finite(found.foreign),
        assumptions=found.assumptions,
        failed=found.failed,
    )


def _metric(found: Compared) -> MetricRecord:
    return MetricRecord(
        value=found.value,
        low=found.low,
        high=found.high,
        reference=found.reference,
        worse=found.worse,
        least_rows=found.least_rows,
    )


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
