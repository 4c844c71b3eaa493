"""Intervals from folds hold the truth of simulated tables; the long run is `tests.benchmarks.fold_coverage`."""

import pytest

from tests.benchmarks.fold_coverage import CASES, FOLDS, shares, tables


@pytest.mark.long
def test_intervals_hold_the_truth_and_noise_seldom_wins() -> None:
    judged = list(tables(CASES[0], 40, seed=5, resamples=100, fresh_rows=5_000))
    plain, wide = shares(judged, 1.0), shares(judged, FOLDS.widening)
    assert min(wide.this_model, wide.recipe) >= 0.85  # of 40 tables; 95 % are asked for
    assert wide.this_model >= plain.this_model
    assert 1.2 < wide.width / plain.width < 1.6
    assert wide.noise_wins <= 0.125
