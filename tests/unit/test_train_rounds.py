"""Rounds end by patience, by their number or by the clock, also in the middle, and the best one is kept."""

import math
import pkgutil
import re
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.core.digests import sha256_file
from sluice.core.errors import TimeIsUp
from sluice.modeling.baselines import Baseline
from sluice.modeling.catalogue import candidates_for
from sluice.modeling.deadlines import ended_after
from sluice.modeling.model_files import save_model
from sluice.modeling.parts import Part, Parts
from sluice.modeling.rounds import BUDGET, EARLY, LIMIT, Fitted, NoRound, fit_in_rounds
from sluice.modeling.threads import fixed_threads
from sluice.modeling.training_records import cut_words
from sluice.modeling.training_settings import Settings
from tests.unit.model_world import TABLE, TABLE_NAMES, table_parts

LABELS = np.array([0, 1])
PART = Part(pd.DataFrame({"row": [0, 1]}), LABELS)
PARTS = Parts(TABLE, PART, PART, PART)


class Scripted:
    """A candidate whose validation log loss in each round is given."""

    round_limit = 40

    def __init__(self, losses: Sequence[float], endless: int = 0) -> None:
        self._losses, self._endless, self._round, self._kept = losses, endless, 0, 0
        self.parameters: dict[str, Any] = {}

    def advance(self) -> None:
        self._round += 1
        while self._round == self._endless:
            sum(range(100))

    def forecasts(self) -> tuple[np.ndarray, np.ndarray]:
        right = np.exp(-self._losses[self._round - 1])
        return np.full((2, 2), 0.5), np.array([[right, 1 - right], [1 - right, right]])

    def keep(self) -> None:
        self._kept = self._round

    def model(self) -> Baseline:
        return Baseline(TABLE, "zero-rule", np.array([0.5, 0.5]), seed=self._kept)


def fit(losses: Sequence[float], endless: int = 0, **changes: Any) -> Fitted:
    return fit_in_rounds(lambda parts, settings: Scripted(losses, endless), PARTS, Settings(**changes), "scripted")


FALLING = [0.9 / (1 + number) for number in range(50)]


def test_patience_counts_rounds_without_gain() -> None:
    found = fit([0.6, 0.5, 0.55, 0.54, 0.53, 0.1], patience=3)
    assert (found.rounds, found.kept.round, found.stopped_by) == (5, 2, EARLY)


def test_a_gain_too_small_to_matter_does_not_reset_the_patience() -> None:
    found = fit([0.5, 0.49999, 0.49998, 0.49997, 0.1], patience=3)
    assert (found.rounds, found.kept.round) == (4, 1)


def test_the_limit_of_rounds_is_the_users_or_the_candidates() -> None:
    assert (fit(FALLING).rounds, fit(FALLING).stopped_by) == (40, LIMIT)
    assert (fit(FALLING, max_rounds=7).rounds, fit(FALLING, max_rounds=7).kept.round) == (7, 7)


def test_a_budget_of_rounds_has_no_clock() -> None:
    found = fit(FALLING, max_rounds=30, seconds_per_candidate=1e-9)
    assert (found.rounds, found.stopped_by) == (30, LIMIT)


def test_the_clock_breaks_a_round_off_and_the_best_round_before_it_is_the_model() -> None:
    """The third round never ends."""
    cut = fit([0.5, 0.4, 0.1], endless=3, seconds_per_candidate=3.0)
    assert (cut.rounds, cut.kept.round, cut.stopped_by, cut.cut) == (2, 2, BUDGET, True)
    assert getattr(cut.model, "seed") == 2  # noqa: B009 - the double keeps its round there
    assert cut.seconds > cut.curve[-1].seconds
    assert cut.cpu_seconds is not None
    assert cut.cpu_seconds > 0


def test_a_first_round_that_does_not_end_is_no_model() -> None:
    with pytest.raises(NoRound, match=r"scripted: not a single round ended within seconds_per_candidate, 0\.2 s; give"):
        fit([0.5], endless=1, seconds_per_candidate=0.2)


def test_a_preparation_that_does_not_end_is_no_model() -> None:
    def start(*_: object) -> Scripted:
        while True:
            sum(range(100))

    with pytest.raises(NoRound):
        fit_in_rounds(start, PARTS, Settings(seconds_per_candidate=0.2), "scripted")


class Endless:
    """A real candidate whose third round repeats itself for ever."""

    def __init__(self, inner: Any) -> None:
        self._inner, self.rounds = inner, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def advance(self) -> None:
        self.rounds += 1
        self._inner.advance()
        while self.rounds == 3:
            self._inner.advance()


@pytest.mark.parametrize("name", [name for name in TABLE_NAMES if name not in ("random", "zero-rule", "heuristic")])
def test_what_is_broken_off_leaves_the_kept_round_as_it_was(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidate, parts, made = next(c for c in candidates_for(TABLE) if c.name == name), table_parts(), list[Endless]()

    def start(parts: Parts, settings: Settings) -> Endless:
        made.append(Endless(pkgutil.resolve_name(candidate.start)(parts, settings)))
        return made[-1]

    def left(_: object) -> float:
        return 0.3 if made and made[-1].rounds == 2 else math.inf

    settings = Settings(seed=5)
    with monkeypatch.context() as patch, fixed_threads(1):
        patch.setattr("sluice.modeling.rounds._Clock.left", left)
        cut = fit_in_rounds(start, parts, settings, name)
    assert (cut.rounds, cut.stopped_by) == (2, BUDGET)
    again = candidate.fit(parts, replace(settings, max_rounds=cut.rounds))
    assert [p.validation for p in again.curve] == [p.validation for p in cut.curve]
    for turn, found in (("cut", cut), ("again", again)):
        save_model(tmp_path / turn, found.model, parts.task)
    for file in (tmp_path / "cut").iterdir():
        assert sha256_file(file) == sha256_file(tmp_path / "again" / file.name)


@pytest.mark.parametrize(
    ("losses", "changes", "words"),
    [
        ([0.5, 0.4, 0.5, 0.5, 0.5], {}, ""),
        ([0.5, 0.4, 0.3], {"max_rounds": 3}, "still getting better in its last round, 3; a greater max_rounds"),
        ([0.5, 0.4, 0.41], {"max_rounds": 3}, ""),
        ([0.5, 0.4], {"endless": 3, "seconds_per_candidate": 3.0}, "after round 2; max_rounds=2 repeats it"),
    ],
)
def test_a_cut_candidate_says_how_to_repeat_it(losses: list[float], changes: dict[str, Any], words: str) -> None:
    said = cut_words(fit(losses, **changes))
    assert words in said
    assert bool(words) == bool(said)


def test_a_deadline_strikes_inside_its_block_or_never() -> None:
    """Deadlines near the end of the work, many times: what is raised must never reach the code after the block."""
    struck = 0
    for number in range(400):
        try:
            with ended_after((number % 20) * 1e-4):
                for _ in range(200):
                    sum(range(100))
        except TimeIsUp:
            struck += 1
        sum(range(1000))
    assert struck > 0


def test_no_thread_of_a_deadline_stays() -> None:
    with ended_after(3600):
        assert any(thread.name == "deadline" for thread in threading.enumerate())
    for thread in threading.enumerate():
        if thread.name == "deadline":
            thread.join(30)
            assert not thread.is_alive()


@given(st.lists(st.floats(0.01, 3.0), min_size=40, max_size=40), st.integers(1, 6))
def test_the_model_is_from_the_kept_round_and_none_seen_is_better(losses: list[float], patience: int) -> None:
    found = fit(losses, patience=patience)
    seen = [point.validation for point in found.curve]
    assert found.model.options() is not None
    assert found.kept.validation <= min(seen) + 1e-4
    assert found.kept.validation == pytest.approx(losses[found.kept.round - 1])
    assert getattr(found.model, "seed") == found.kept.round  # noqa: B009 - the double keeps its round there


def test_progress_says_the_round_the_loss_and_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    fit([0.6, 0.5, 0.7], patience=1)
    said = capsys.readouterr().out
    assert re.search(
        r"scripted: round 3, validation log loss 0\.7000, \d+\.\d s of 60 s: kept round 2, early stopping", said
    )
