"""Rounds end by patience, by their number or by the clock, and the best one is kept."""

import re
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.common.baselines import Baseline
from components.train.parts import Part, Parts
from components.train.rounds import BUDGET, EARLY, LIMIT, Fitted, fit_in_rounds
from components.train.settings import Settings
from tests.unit.model_world import TABLE

LABELS = np.array([0, 1])
PART = Part(pd.DataFrame({"row": [0, 1]}), LABELS)
PARTS = Parts(TABLE, PART, PART, PART)


class Scripted:
    """A candidate whose validation log loss in each round is given."""

    round_limit = 40

    def __init__(self, losses: Sequence[float], pause: float = 0.0) -> None:
        self._losses, self._pause, self._round, self._kept = losses, pause, 0, 0
        self.parameters: dict[str, Any] = {}

    def advance(self) -> None:
        time.sleep(self._pause)
        self._round += 1

    def probabilities(self) -> tuple[np.ndarray, np.ndarray]:
        right = np.exp(-self._losses[self._round - 1])
        return np.full((2, 2), 0.5), np.array([[right, 1 - right], [1 - right, right]])

    def keep(self) -> None:
        self._kept = self._round

    def model(self) -> Baseline:
        return Baseline(TABLE, "zero-rule", np.array([0.5, 0.5]), seed=self._kept)


def fit(losses: Sequence[float], pause: float = 0.0, **changes: Any) -> Fitted:
    return fit_in_rounds(lambda parts, settings: Scripted(losses, pause), PARTS, Settings(**changes), "scripted")


def test_patience_counts_rounds_without_gain() -> None:
    found = fit([0.6, 0.5, 0.55, 0.54, 0.53, 0.1], patience=3)
    assert (found.rounds, found.kept.round, found.stopped_by) == (5, 2, EARLY)


def test_a_gain_too_small_to_matter_does_not_reset_the_patience() -> None:
    found = fit([0.5, 0.49999, 0.49998, 0.49997, 0.1], patience=3)
    assert (found.rounds, found.kept.round) == (4, 1)


def test_the_limit_of_rounds_is_the_users_or_the_candidates() -> None:
    falling = [0.9 / (1 + number) for number in range(50)]
    assert (fit(falling).rounds, fit(falling).stopped_by) == (40, LIMIT)
    assert (fit(falling, max_rounds=7).rounds, fit(falling, max_rounds=7).kept.round) == (7, 7)


def test_the_clock_stops_after_a_round_and_never_before_the_first() -> None:
    found = fit([0.9 / (1 + number) for number in range(50)], pause=0.02, seconds_per_candidate=0.001)
    assert (found.rounds, found.stopped_by) == (1, BUDGET)


def test_a_run_cut_by_the_clock_is_repeated_by_its_number_of_rounds() -> None:
    falling = [0.9 / (1 + number) for number in range(50)]
    cut = fit(falling, pause=0.02, seconds_per_candidate=0.1)
    again = fit(falling, max_rounds=cut.rounds)
    assert cut.stopped_by == BUDGET
    assert [p.validation_log_loss for p in again.curve] == [p.validation_log_loss for p in cut.curve]
    assert again.kept.round == cut.kept.round


@given(st.lists(st.floats(0.01, 3.0), min_size=40, max_size=40), st.integers(1, 6))
def test_the_model_is_from_the_kept_round_and_none_seen_is_better(losses: list[float], patience: int) -> None:
    found = fit(losses, patience=patience)
    seen = [point.validation_log_loss for point in found.curve]
    assert found.model.options() is not None
    assert found.kept.validation_log_loss <= min(seen) + 1e-4
    assert found.kept.validation_log_loss == pytest.approx(losses[found.kept.round - 1])
    assert getattr(found.model, "seed") == found.kept.round  # noqa: B009 - the double keeps its round there


def test_progress_says_the_round_the_loss_and_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    fit([0.6, 0.5, 0.7], patience=1)
    said = capsys.readouterr().out
    assert re.search(
        r"scripted: round 3, validation log loss 0\.7000, \d+\.\d s of 20 s: kept round 2, early stopping", said
    )
