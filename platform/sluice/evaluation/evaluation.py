"""What an evaluation found, as one value and as the JSON artifact that register and report read."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sluice.artifacts.populations import Population
from sluice.evaluation.bootstrap import LEVEL, Estimate, Resamples
from sluice.evaluation.calibration import Calibration
from sluice.evaluation.candidates import Candidate
from sluice.evaluation.champion import NAME, Champion
from sluice.evaluation.designs import Design
from sluice.evaluation.evidence import Evidence
from sluice.evaluation.gate import Check, Decision
from sluice.evaluation.metrics import Predictions
from sluice.evaluation.selection import Selection
from sluice.evaluation.settings import Settings
from sluice.evaluation.simpson import Reversal
from sluice.evaluation.simpson_models import ModelReversal
from sluice.evaluation.slices import Slice
from sluice.problems.task import Task

SCHEMA = 2


@dataclass(frozen=True)
class Evaluation:
    """All that was found; `to_json` documents the fields for readers of the artifact.

    Attributes:
        task: What is learned.
        ids: The ids of the split dataset and of the models bundle.
        settings: What the caller decided.
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
        unseen: The winner's and the champion's metrics on the test rows that the champion did not learn from.
        thresholds: How each model's threshold was chosen, in words, by name.
        calibration: The winner's, on the test rows.
        slices: The test rows by group.
        months: The winner month by month on the validation and test rows; empty without timestamps.
        reversals: Simpson's paradox in the data, over all rows of the three tables.
        model_reversals: Simpson's paradox between models.
        champion: The champion before this evaluation.
        checks: What the gate saw.
        decision: What follows.
        reason: Why.
    """

    task: Task
    ids: dict[str, str]
    settings: Settings
    look: int
    population: Population
    overlap: tuple[str, ...]
    design: Design
    evidence: Evidence
    candidates: list[Candidate]
    selection: Selection
    digest: str
    test: dict[str, Predictions]
    intervals: Resamples
    validation: Resamples
    unseen: Resamples | None
    thresholds: dict[str, str]
    calibration: Calibration
    slices: list[Slice]
    months: list[Slice]
    reversals: list[Reversal]
    model_reversals: list[ModelReversal]
    champion: Champion | None
    checks: list[Check]
    decision: Decision
    reason: str

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

    def to_json(self) -> dict[str, Any]:
        """The evaluation as JSON values: the same for the same inputs, whenever it is made."""
        return {
            "schema": SCHEMA,
            "task": asdict(self.task),
            "datasets": self.ids,
            "rows": len(self.test[self.winner].labels),
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
            "selection": {"rule": "one standard error, paired", **asdict(self.selection)},
            "winner": self.winner,
            "winner_digest": self.digest,
            "calibration": asdict(self.calibration),
            "slices": [asdict(entry) for entry in self.slices],
            "months": [asdict(entry) for entry in self.months],
            "simpson": {
                "data": [asdict(entry) for entry in self.reversals],
                "models": [asdict(entry) for entry in self.model_reversals],
            },
            "champion": self._champion_row(),
            "checks": [check.to_json() for check in self.checks],
            "decision": self.decision,
            "reason": self.reason,
        }

    def _row(self, candidate: Candidate) -> dict[str, Any]:
        loss = self.validation.estimate(candidate.name, "log_loss")
        return {
            **asdict(candidate),
            "validation_log_loss": loss.to_json(),
            "threshold": self.test[candidate.name].threshold if self.binary else None,
            "threshold_rule": self.thresholds.get(candidate.name, ""),
            "metrics": _json_estimates(self.intervals.estimates(candidate.name)),
        }

    def _champion_row(self) -> dict[str, Any] | None:
        if self.champion is None:
            return None
        row: dict[str, Any] = {"version": self.champion.version, "digest": self.champion.digest}
        row["seen"] = self.champion.seen
        if self.champion.problem:
            return row | {"problem": self.champion.problem}
        if self.unseen is None:  # it is the winner, or nothing can be compared
            return row
        gaps = {m: self.unseen.difference(self.winner, NAME, m) for m in self.unseen.metrics(NAME)}
        return row | {
            "metrics": _json_estimates(self.unseen.estimates(NAME)),
            "differences": _json_estimates(gaps),
        }


def write(evaluation: Evaluation, path: Path) -> None:
    """Write the evaluation as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(evaluation.to_json(), indent=1, allow_nan=False, ensure_ascii=False), encoding="utf-8")


def _json_estimates(estimates: Mapping[str, Estimate]) -> dict[str, Any]:
    return {name: estimate.to_json() for name, estimate in estimates.items()}
