"""What an evaluation found, as one value and as the record that register and report read."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sluice.artifacts.populations import Population
from sluice.evaluation.bootstrap import LEVEL, Estimate, Resamples
from sluice.evaluation.calibration import Calibration
from sluice.evaluation.candidates import JudgedModel, Said
from sluice.evaluation.champion import NAME, Champion
from sluice.evaluation.designs import Design
from sluice.evaluation.evaluation_settings import EvaluationSettings
from sluice.evaluation.evidence import Evidence
from sluice.evaluation.folds import Recipe
from sluice.evaluation.gate import Check, Decision
from sluice.evaluation.number_predictions import NumberPredictions
from sluice.evaluation.record import SCHEMA, EvaluationRecord
from sluice.evaluation.residuals import Residuals
from sluice.evaluation.selection import Selection
from sluice.evaluation.simpson import Reversal
from sluice.evaluation.simpson_models import ModelReversal
from sluice.evaluation.slices import Slice
from sluice.problems.metrics import Metric, metrics_of
from sluice.problems.task import Task
from sluice.problems.weighted_metrics import Predictions

PAIRED = "paired bootstrap"


@dataclass(frozen=True)
class Evaluation:
    """All that was found; `sluice.evaluation.record` says what readers of the artifact get.

    Attributes:
        task: What is learned.
        ids: The ids of the split dataset and of the models bundle.
        settings: What the caller decided.
        metric: What models are chosen and judged by.
        look: Which look at these test rows it is.
        population: Which rows the numbers speak of.
        overlap: What `split` warned of: what training knows of the test rows already.
        design: The test rows' weights and clusters.
        evidence: How much the test rows tell.
        candidates: Simplest first, baselines among them.
        selection: How the winner was chosen.
        digest: The winner's model digest.
        test: Every candidate's predictions of the test rows, and the champion's.
        intervals: Their metrics.
        validation: The candidates' metrics on the validation rows.
        validation_rows: How many these are.
        unseen: The winner's and the champion's metrics on the test rows that the champion did not learn from.
        thresholds: How each model's threshold was chosen, in words, by name.
        calibration: The winner's, on the test rows; None where the label is a number.
        residuals: The winner's, on the test rows, where the label is a number.
        slices: The test rows by group.
        months: The winner month by month on the validation and test rows; empty without timestamps.
        reversals: Simpson's paradox in the data, over all rows of the three tables.
        model_reversals: Simpson's paradox between models.
        champion: The champion before this evaluation.
        checks: What the gate saw.
        decision: What follows.
        reason: Why.
        recipe: What was chosen in each fold, where rows are divided into folds: the test rows are then all rows, and
            what `test` holds under the winner's name are the forecasts of the whole recipe, out of fold.
    """

    task: Task
    ids: dict[str, str]
    settings: EvaluationSettings
    metric: Metric
    look: int
    population: Population
    overlap: tuple[str, ...]
    design: Design
    evidence: Evidence
    candidates: list[JudgedModel]
    selection: Selection
    digest: str
    test: dict[str, Said]
    intervals: Resamples
    validation: Resamples
    validation_rows: int
    unseen: Resamples | None
    thresholds: dict[str, str]
    calibration: Calibration | None
    residuals: Residuals | None
    slices: list[Slice]
    months: list[Slice]
    reversals: list[Reversal]
    model_reversals: list[ModelReversal]
    champion: Champion | None
    checks: list[Check]
    decision: Decision
    reason: str
    recipe: Recipe | None = None

    @property
    def rows_words(self) -> str:
        """Which rows the numbers are of: `test rows`, or what stands for them where rows are divided into folds."""
        return "rows, out of fold" if self.recipe else "test rows"

    @property
    def place_words(self) -> str:
        """The same within a sentence."""
        return "out of fold" if self.recipe else "on the test rows"

    @property
    def winner(self) -> str:
        """The winner's name."""
        return self.selection.winner

    @property
    def binary(self) -> bool:
        """Whether there are two classes."""
        return len(self.task.classes) == 2

    def winner_metrics(self) -> dict[str, float]:
        """The winner's metrics on the test rows, those that are defined."""
        estimates = self.intervals.estimates(self.winner)
        return {name: estimate.value for name, estimate in estimates.items() if estimate.value is not None}

    @property
    def regression(self) -> bool:
        """Whether the label is a number."""
        return self.task.regression

    @property
    def classified(self) -> Predictions:
        """The winner's predictions of classes, on the test rows."""
        found = self.test[self.winner]
        assert isinstance(found, Predictions), "the label is a class"  # noqa: S101 - the caller has asked
        return found

    @property
    def numbers(self) -> NumberPredictions:
        """The winner's forecasts of numbers, on the test rows."""
        found = self.test[self.winner]
        assert isinstance(found, NumberPredictions), "the label is a number"  # noqa: S101 - the caller has asked
        return found

    def known_metric(self, name: str) -> Metric:
        """A metric that was measured, by its name."""
        return metrics_of(self.task.kind, self.settings.own)[name]

    def to_json(self) -> dict[str, Any]:
        """The record of the evaluation as JSON values."""
        return self.record().body()

    def record(self) -> EvaluationRecord:
        """The record: the same for the same inputs, whenever it is made."""
        return EvaluationRecord.model_validate(self._body(), strict=False)

    def _body(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "task": self.task.body(),
            "problem": self.task.kind,
            "problem_name": self.task.problem_name,
            "metric": _metric_row(self.metric),
            "own_metrics": [_metric_row(metric) for metric in self.settings.own],
            "code": self.settings.code,
            "datasets": self.ids,
            "rows": self._rows,
            "folds": self._folds(),
            "population": {
                **asdict(self.population),
                "weighted": self.design.weighted,
                "text": self.population.words(weighted=self.design.weighted),
                "effective_rows": self.evidence.effective_rows,
            },
            "overlap": list(self.overlap),
            "evidence": asdict(self.evidence),
            "bootstrap": {
                "resamples": self.settings.resamples,
                "seed": self.settings.seed,
                "level": LEVEL,
                "cluster": self.design.name,
                "clusters": self.design.count,
                "block": self.design.block,
            },
            "gate": asdict(self.settings.gate),
            "look": self.look,
            "candidates": [self._row(candidate) for candidate in self.candidates],
            "selection": {
                "rule": "one standard error, paired",
                "metric": self.metric.name,
                **asdict(self.selection),
                "excess": _numbers(self.selection.excess, self.validation_rows, PAIRED),
            },
            "winner": self.winner,
            "winner_digest": self.digest,
            "calibration": self._calibration(),
            "residuals": self._residuals(),
            "slices": [_slice_row(entry) for entry in self.slices],
            "months": [_slice_row(entry) for entry in self.months],
            "simpson": {
                "data": [asdict(entry) for entry in self.reversals],
                "models": [self._reversal(entry) for entry in self.model_reversals],
            },
            "champion": self._champion_row(),
            "checks": [check.to_json() for check in self.checks],
            "decision": self.decision,
            "reason": self.reason,
        }

    def _folds(self) -> dict[str, Any] | None:
        if self.recipe is None:
            return None
        return {
            "number": self.recipe.folds.number,
            "winners": list(self.recipe.winners),
            "widening": self.recipe.folds.widening,
            "winner_alone": _numbers(self.recipe.alone, self._rows),
            "text": self.recipe.words(self.winner),
        }

    @property
    def _rows(self) -> int:
        return len(self.test[self.winner].labels)

    def _row(self, candidate: JudgedModel) -> dict[str, Any]:
        said = self.test[candidate.name]
        return {
            **asdict(candidate),
            "validation": _number(self.validation.estimate(candidate.name, self.metric.name), self.validation_rows),
            "threshold": said.threshold if isinstance(said, Predictions) and self.binary else None,
            "threshold_rule": self.thresholds.get(candidate.name, ""),
            "metrics": _numbers(self.intervals.estimates(candidate.name), self._rows),
        }

    def _calibration(self) -> dict[str, Any] | None:
        found = self.calibration
        if found is None:
            return None
        bins = [
            {"predicted": b.predicted, "observed": _number(Estimate(b.observed, b.low, b.high), b.rows, "wilson")}
            for b in found.bins
        ]
        errors = {"error": _number(found.error, self._rows), "bias": _number(found.bias, self._rows)}
        return {**vars(found), **errors, "bins": bins}

    def _residuals(self) -> dict[str, Any] | None:
        found = self.residuals
        if found is None:
            return None
        bins = [{"forecast": b.forecast, "observed": _number(b.observed, b.rows)} for b in found.bins]
        told = {name: _number(getattr(found, name), self._rows) for name in ("bias", "error", "slope")}
        return {**vars(found), **told, "bins": bins}

    def _reversal(self, entry: ModelReversal) -> dict[str, Any]:
        overall = _number(entry.overall, self._rows, PAIRED)
        return {**vars(entry), "overall": overall, "pooled": _number(entry.pooled, self._rows, "inverse variance")}

    def _champion_row(self) -> dict[str, Any] | None:
        if self.champion is None:
            return None
        row: dict[str, Any] = {"version": self.champion.version, "digest": self.champion.digest}
        row["seen"] = self.champion.seen
        if self.champion.problem:
            return row | {"problem": self.champion.problem}
        if self.unseen is None or self.champion.unseen is None:  # it is the winner, or nothing can be compared
            return row
        gaps = {m: self.unseen.difference(self.winner, NAME, m) for m in self.unseen.metrics(NAME)}
        rows = int(self.champion.unseen.sum())
        return row | {
            "metrics": _numbers(self.unseen.estimates(NAME), rows),
            "differences": _numbers(gaps, rows, PAIRED),
        }


def write(evaluation: Evaluation, path: Path) -> None:
    """Write the evaluation as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(evaluation.to_json(), indent=1, allow_nan=False, ensure_ascii=False), encoding="utf-8")


def _metric_row(metric: Metric) -> dict[str, Any]:
    return {name: getattr(metric, name) for name in ("name", "title", "direction", "in_label_units")}


def _number(estimate: Estimate, rows: int, method: str = "bootstrap") -> dict[str, Any]:
    return {**asdict(estimate), "n": rows, "method": "none" if estimate.value is None else method}


def _numbers(estimates: Mapping[str, Estimate], rows: int, method: str = "bootstrap") -> dict[str, Any]:
    return {name: _number(estimate, rows, method) for name, estimate in estimates.items()}


def _slice_row(entry: Slice) -> dict[str, Any]:
    rows = {name: entry.counts.get(name, entry.rows) for name in entry.metrics}
    metrics = {name: _numbers(estimates, rows[name]) for name, estimates in entry.metrics.items()}
    gaps = {name: _numbers(estimates, rows[name], PAIRED) for name, estimates in entry.differences.items()}
    told = {name: value for name, value in vars(entry).items() if name != "counts"}
    return told | {"metrics": metrics, "differences": gaps}
