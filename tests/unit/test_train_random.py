"""The random baseline is chance: unrelated to features, label, sample and split, and the same for the same rows."""

from dataclasses import replace

import ibis
import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest, mannwhitneyu, norm
from sklearn.metrics import roc_auc_score

from sluice.engine.row_order import with_row_order
from sluice.modeling.baselines import Baseline
from tests.unit.model_world import TABLE

SHARES = np.array([0.7, 0.3])
SEEDS = 400


def small_table(seed: int, rows: int = 80) -> tuple[pd.DataFrame, np.ndarray]:
    """A few distinct rows of features that tell the label, as in a small lake."""
    weather = np.random.default_rng(seed).choice(["sun", "storm"], rows)
    empty = np.full(rows, np.nan)
    frame = {"row": np.arange(rows), "wind": empty, "empty": empty, "constant": 7, "weather": weather, "carrier": "C1"}
    return pd.DataFrame(frame), (weather == "storm").astype(np.int64)


def scores(rows: pd.DataFrame, seed: int) -> np.ndarray:
    return np.asarray(Baseline(TABLE, "random", SHARES, seed=seed).predict_proba(rows)[:, 1])


@pytest.mark.parametrize("key", [True, False])
def test_chance_is_chance_on_small_tables_with_few_distinct_rows(key: bool) -> None:
    areas, within = [], 0
    for seed in range(SEEDS):
        rows, labels = small_table(seed)
        drawn = scores(rows if key else rows.drop(columns="row"), seed)
        areas.append(roc_auc_score(labels, drawn))
        within += mannwhitneyu(drawn[labels == 1], drawn[labels == 0]).pvalue >= 0.05
    error = np.std(areas) / np.sqrt(SEEDS)
    assert np.mean(areas) == pytest.approx(0.5, abs=norm.ppf(0.9995) * error)
    assert binomtest(within, SEEDS, 0.95).pvalue > 0.001


def test_the_same_rows_and_seed_give_the_same_forecasts_in_any_batch_order_and_type() -> None:
    rows, _ = small_table(0)
    whole = scores(rows, 1)
    np.testing.assert_array_equal(whole, scores(rows.assign(weather="rain", wind=3.0), 1))
    np.testing.assert_array_equal(whole[10:20], scores(rows.iloc[10:20], 1))
    np.testing.assert_array_equal(whole[::-1], scores(rows.iloc[::-1], 1))
    np.testing.assert_array_equal(whole, scores(rows.astype({"row": "int16"}), 1))
    assert len(np.unique(whole)) == len(rows)


def test_times_are_the_same_key_in_any_unit() -> None:
    model = Baseline(replace(TABLE, key=("at", "row")), "random", SHARES, seed=1)
    rows = small_table(0)[0].assign(at=pd.date_range("2013-01-01", periods=80, freq="h"))
    forecasts = [model.predict_proba(rows.astype({"at": f"datetime64[{unit}]"})) for unit in ("ns", "us", "s")]
    np.testing.assert_array_equal(forecasts[0], forecasts[1])
    np.testing.assert_array_equal(forecasts[0], forecasts[2])


@pytest.mark.parametrize("purpose", ["sample", "split"])
def test_it_is_unrelated_to_the_order_by_which_rows_are_drawn(purpose: str) -> None:
    """Sample and split take the same key, and in a pipeline the same seed."""
    rows = pd.DataFrame({"row": np.arange(2_000)})
    found = []
    for seed in range(40):
        order = (
            with_row_order(ibis.memtable(rows), ["row"], seed, "order", purpose).order_by("row").to_pandas()["order"]
        )
        found.append(np.corrcoef(order.rank(), pd.Series(scores(rows, seed)).rank())[0, 1])
    assert np.mean(found) == pytest.approx(0.0, abs=4 / np.sqrt(40 * 2_000))
    assert np.square(found).mean() * 2_000 == pytest.approx(1.0, abs=1.0)
