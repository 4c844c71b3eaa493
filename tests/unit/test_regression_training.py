"""Training where the label is a number: baselines, every family, weights, files, and what is refused."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_absolute_error, root_mean_squared_error

from sluice.core.errors import BadInput
from sluice.modeling.baseline_fitting import fit_baseline
from sluice.modeling.baselines import NumberBaseline
from sluice.modeling.catalogue import candidates_for, choose
from sluice.modeling.logistic import LinearFitting
from sluice.modeling.model_files import forecast, load_model, save_model
from sluice.modeling.networks import NetworkModel
from sluice.modeling.parts import Part, Parts, read_parts
from sluice.modeling.training_settings import TrainingSettings, check_settings
from sluice.problems.task import REGRESSION, Task, task_of
from tests.unit import numbers_world
from tests.unit.model_world import png

NAMES = ("mean", "median", "heuristic", "linear-regression", "gradient-boosted-trees", "embedding-network")
GROUPED = {"cluster": "region"}


def fit(name: str, parts: Parts, **settings: Any) -> Any:
    candidate = next(entry for entry in candidates_for(parts.task) if entry.name == name)
    return candidate.fit(parts, TrainingSettings(**{"max_rounds": 3, "seed": 3, **settings}))


def test_the_candidates_of_a_number_and_their_short_names() -> None:
    assert tuple(candidate.name for candidate in candidates_for(numbers_world.TASK)) == NAMES
    grouped = replace(numbers_world.TASK, cluster="region")
    assert "last-value" in [candidate.name for candidate in candidates_for(grouped)]
    assert "last-value" not in [candidate.name for candidate in candidates_for(replace(grouped, time=None))]
    short = [candidate.name for candidate in choose(["trees", "linear", "mean"], numbers_world.TASK)]
    assert short == ["mean", "linear-regression", "gradient-boosted-trees"]
    with pytest.raises(BadInput, match="candidates names 'zero-rule', which task 'houses' cannot use"):
        choose(["zero-rule"], numbers_world.TASK)


@pytest.mark.parametrize("weighted", [False, True])
def test_mean_and_median_are_those_of_numpy(weighted: bool) -> None:
    parts = numbers_world.parts(301)
    weights = np.random.default_rng(1).integers(1, 4, 301).astype(float) if weighted else None
    parts = replace(parts, train=replace(parts.train, weights=weights))
    labels = parts.train.labels
    repeated = labels if weights is None else np.repeat(labels, weights.astype(int))
    mean, median = (fit(name, parts).model for name in ("mean", "median"))
    assert mean.predict(parts.validation.rows) == pytest.approx(np.full(500, repeated.mean()))
    assert median.predict(parts.validation.rows) == pytest.approx(np.full(500, np.median(repeated)), rel=0.01)


def test_the_heuristic_is_the_mean_by_value_drawn_to_the_mean_of_all() -> None:
    parts = numbers_world.parts()
    model = fit("heuristic", parts).model
    by_plan = pd.Series(parts.train.labels).groupby(parts.train.rows["plan"].to_numpy()).agg(["mean", "size"])
    whole = parts.train.labels.mean()
    wanted = (by_plan["mean"] * by_plan["size"] + 20 * whole) / (by_plan["size"] + 20)
    said = model.predict(pd.DataFrame({"plan": [*by_plan.index, "castle", None]}))
    assert said == pytest.approx([*wanted, whole, whole])
    tenths = fit_baseline("heuristic", numbers_world.parts(heuristic="area"), TrainingSettings()).model
    assert len(np.unique(tenths.predict(parts.train.rows))) == 11, "ten tenths, and the rows without an area"


def test_the_last_value_is_the_groups_last_before_the_row() -> None:
    days = pd.to_datetime(["2020-01-01", "2020-01-02", "2020-01-02", "2020-01-03"])
    rows = pd.DataFrame({"region": ["a", "a", "a", "b"], "listed": days, "plan": "flat", "rooms": 1, "area": 1.0})
    train = Part(rows.assign(noise=0.0), np.array([10.0, 20.0, 30.0, 99.0]))
    task = replace(numbers_world.TASK, **GROUPED)
    model = fit_baseline("last-value", Parts(task, train, train, train), TrainingSettings()).model
    asked = pd.DataFrame({"region": ["a", "b", "c", "a", None], "listed": pd.to_datetime(["2020-02-01"] * 5)})
    asked.loc[3, "listed"] = pd.Timestamp("2020-01-02")  # not after its last label
    mean = train.labels.mean()
    assert model.predict(asked) == pytest.approx([25.0, 99.0, mean, mean, mean])
    assert model.predict(asked[["region"]]) == pytest.approx([mean] * 5)
    with_zone = asked.assign(listed=asked["listed"].dt.tz_localize("UTC"))
    assert model.predict(with_zone) == pytest.approx(model.predict(asked))


def test_a_last_value_without_groups_or_times_is_refused() -> None:
    parts = numbers_world.parts(**GROUPED)
    train = replace(parts.train, rows=parts.train.rows.drop(columns="listed"))
    with pytest.raises(BadInput, match="'last-value' needs a group and a time, and the rows have no listed"):
        fit_baseline("last-value", replace(parts, train=train), TrainingSettings())


def test_the_linear_regression_is_ridge_with_the_best_penalty() -> None:
    """Recomputed on a design matrix of our own: one-hot codes, scaled numbers, a column for what is missing."""
    parts = numbers_world.parts()
    fitted = fit("linear-regression", parts, max_rounds=0, patience=3)
    alpha = fitted.parameters["penalty_per_row"] * 1500
    train, validation = (part.rows for part in (parts.train, parts.validation))

    def design(rows: pd.DataFrame) -> Any:
        filled = rows[["rooms", "area", "noise"]].fillna(train[["rooms", "area", "noise"]].median())
        known = train[["rooms", "area", "noise"]].fillna(train[["rooms", "area", "noise"]].median())
        missing = [part["area"].isna().astype(float) for part in (rows, train)]
        scaled = (filled - known.mean()) / known.std(ddof=0)
        flag = (missing[0] - missing[1].mean()) / missing[1].std(ddof=0)
        codes = pd.get_dummies(rows[["plan", "region"]]).astype(float)
        return sparse.csr_matrix(np.column_stack([codes, scaled, flag]))

    wanted = Ridge(alpha=alpha, tol=1e-10).fit(design(train), parts.train.labels).predict(design(validation))
    assert fitted.model.predict(validation) == pytest.approx(wanted, rel=1e-3)
    assert fitted.kept.validation == pytest.approx(
        root_mean_squared_error(parts.validation.labels, fitted.model.predict(validation))
    )
    assert [p.train for p in fitted.curve] == sorted((p.train for p in fitted.curve), reverse=True)


@pytest.mark.parametrize("name", ["heuristic", "linear-regression", "gradient-boosted-trees", "embedding-network"])
def test_rows_count_by_their_weights(name: str) -> None:
    """The same features with the labels 0 and 100: the forecast is their weighted mean, 75, and not 50."""
    every = numbers_world.frame(400)
    rows = pd.concat([every, every], ignore_index=True).drop(columns="price").assign(plan="flat")
    labels = np.repeat([0.0, 100.0], 400)
    train = Part(rows, labels, np.repeat([0.5, 1.5], 400))
    parts = Parts(numbers_world.TASK, train, train, train)
    fitted = fit(name, parts, max_rounds=12)
    assert fitted.model.predict(rows).mean() == pytest.approx(75, abs=2)
    assert fitted.kept.validation == pytest.approx(np.sqrt(0.25 * 75**2 + 0.75 * 25**2), rel=0.02)


def test_a_networks_forecast_stays_exact_far_from_zero() -> None:
    """Labels around a billion differ by hundreds: single precision alone would lose them."""
    parts = numbers_world.parts(400)
    moved = replace(
        parts,
        train=replace(parts.train, labels=1e9 + parts.train.labels / 1e3),
        sample=replace(parts.sample, labels=1e9 + parts.sample.labels / 1e3),
        validation=replace(parts.validation, labels=1e9 + parts.validation.labels / 1e3),
    )
    near, far = (fit("embedding-network", each).model.predict(parts.validation.rows) for each in (parts, moved))
    assert (far - 1e9) * 1e3 == pytest.approx(near, abs=50)


def test_early_stopping_goes_by_the_metric_that_was_chosen() -> None:
    parts = numbers_world.parts(600)
    fitted = fit("gradient-boosted-trees", parts, metric="mae")
    assert fitted.metric.name == "mae"
    said = fitted.model.predict(parts.validation.rows)
    assert fitted.kept.validation == pytest.approx(mean_absolute_error(parts.validation.labels, said))
    best = fit("gradient-boosted-trees", parts, metric="r2", max_rounds=4)
    assert best.kept.validation == pytest.approx(max(point.validation for point in best.curve), abs=1e-4)


def _saved(name: str, folder: Path) -> tuple[Any, Task, pd.DataFrame]:
    parts = numbers_world.parts(600, **(GROUPED if name == "last-value" else {}))
    model = fit(name, parts, max_rounds=2).model
    save_model(folder, model, parts.task)
    return model, parts.task, parts.validation.rows


@pytest.mark.parametrize("name", [*NAMES, "last-value"])
def test_a_saved_model_forecasts_the_same(name: str, tmp_path: Path) -> None:
    model, task, rows = _saved(name, tmp_path / "m")
    read = load_model(tmp_path / "m")
    assert read.classes == ()
    np.testing.assert_array_equal(forecast(read, rows, task), forecast(model, rows, task))
    assert len(read.predict(rows.head(0))) == 0
    save_model(tmp_path / "again", read, task)  # type: ignore[arg-type]
    assert (tmp_path / "again/model.json").read_bytes() == (tmp_path / "m/model.json").read_bytes()


def _edit(folder: Path, change: Any) -> None:
    body = json.loads((folder / "model.json").read_text())
    change(body)
    (folder / "model.json").write_text(json.dumps(body))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("mean", lambda b: b["options"].update(kind="mode"), "baseline 'mode' is unknown"),
        ("mean", lambda b: b["task"].update(classes=["a", "b"]), "a regression has no classes"),
        ("mean", lambda b: b["task"].update(problem="ranking"), "problem 'ranking' is unknown"),
        ("mean", lambda b: b["options"].update(centre="inf"), "must be finite"),
        ("heuristic", lambda b: b["options"]["table"].append(1.0), "do not match"),
        ("last-value", lambda b: b["options"]["times"].pop(), "do not match"),
        ("embedding-network", lambda b: b["options"]["scale"].update(spread=0), "scale is no finite number"),
        ("embedding-network", lambda b: b["options"].pop("scale"), "'scale' is missing"),
        (
            "linear-regression",
            lambda b: b["options"].update(estimator="logistic-regression"),
            "weights are no logistic",
        ),
        (
            "gradient-boosted-trees",
            lambda b: b["task"].update(problem="", classes=["a", "b"]),
            "weights are no gradient",
        ),
    ],
)
def test_files_that_contradict_themselves_are_refused(name: str, change: Any, message: str, tmp_path: Path) -> None:
    _saved(name, tmp_path / "m")
    _edit(tmp_path / "m", change)
    with pytest.raises(BadInput, match=message):
        load_model(tmp_path / "m")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SLUICE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SLUICE_STORE", raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.nan, "part 'train', column 'price', row 4: the label is missing; give a finite number"),
        (np.inf, "row 4: the label is inf; give a finite number"),
        (-1e16, r"row 4: the label -1e\+16 is beyond 1e\+15; use a larger unit"),
    ],
)
def test_a_label_that_is_no_number_is_refused_with_its_row(home: Path, value: float, message: str) -> None:
    every = numbers_world.frame(100)
    every.loc[4, "price"] = value
    with pytest.raises(BadInput, match=message), read_parts(numbers_world.splits(every).uri):
        pass


def test_equal_labels_are_refused(home: Path) -> None:
    data = numbers_world.splits(numbers_world.frame(100).assign(price=5.0))
    with pytest.raises(BadInput, match="holds only the number 5, so nothing can be learned"), read_parts(data.uri):
        pass


def test_a_wrong_metric_is_refused_before_anything_is_trained(home: Path) -> None:
    from sluice.components.train.run import run

    data = numbers_world.splits(numbers_world.frame(100))
    with pytest.raises(BadInput, match=r"metric='log_loss': a regression problem's models are not chosen by it"):
        run(data.uri, check_settings(metric="log_loss"))


def test_a_task_that_contradicts_itself_is_refused(home: Path) -> None:
    data = numbers_world.splits(numbers_world.frame(100), replace(numbers_world.TASK, classes=("a", "b")))
    with pytest.raises(BadInput, match=r"contradicts itself \(a regression has no classes\); run prepare again"):
        task_of(data)


def test_several_workers_refuse_a_number(home: Path) -> None:
    from sluice.components.train_distributed.run import run
    from sluice.modeling.distributed.job_settings import Learning, Running

    data = numbers_world.splits(numbers_world.frame(100))
    with pytest.raises(BadInput, match="'price' is a number, and several workers train for classes only; use train"):
        run(data.uri, Learning(), Running())


def test_numbers_are_learned_from_images() -> None:
    """The brightness of an image, which any linear model of its pixels can read."""
    generator = np.random.default_rng(1)
    levels = generator.integers(20, 230, 240)
    images = [png(np.clip(generator.normal(level, 12, (8, 8)), 0, 255)) for level in levels]
    rows = pd.DataFrame({"id": range(240), "image": images})
    task = Task("light", "How bright?", "light", (), ("id",), image="image", problem=REGRESSION)
    train, validation = (Part(rows[a:b].reset_index(drop=True), levels[a:b] * 100.0) for a, b in ((0, 180), (180, 240)))
    parts = Parts(task, train, validation, train)
    assert [candidate.name for candidate in candidates_for(task)][-2:] == ["linear-regression", "convolutional-network"]
    for name, rounds, share in (("linear-regression", 6, 0.15), ("convolutional-network", 25, 0.3)):
        fitted = fit(name, parts, max_rounds=rounds)
        assert fitted.kept.validation < share * validation.labels.std(), name
    assert isinstance(fitted.model, NetworkModel)


def test_trees_know_many_values_by_their_mean_label() -> None:
    generator = np.random.default_rng(1)
    towns = generator.integers(0, 400, 6000)
    worth = generator.normal(0, 50_000, 400)
    labels = 200_000 + worth[towns] + generator.normal(0, 10_000, 6000)
    rows = pd.DataFrame({"town": [f"T{town}" for town in towns], "row": range(6000)})
    task = Task("towns", "What?", "price", (), ("row",), categorical=("town",), problem=REGRESSION)
    train, validation = (Part(rows[a:b].reset_index(drop=True), labels[a:b]) for a, b in ((0, 5000), (5000, 6000)))
    fitted = fit("gradient-boosted-trees", Parts(task, train, validation, train), max_rounds=6)
    assert fitted.kept.validation < 0.4 * validation.labels.std()
    assert not isinstance(fitted.model, NumberBaseline)


def test_the_task_keeps_ids_where_no_problem_is_named() -> None:
    plain = Task("late", "?", "late", ("a", "b"), ("row",))
    assert "problem" not in plain.body()
    assert plain.kind == "binary"
    assert replace(plain, classes=("a", "b", "c")).kind == "multiclass"
    assert numbers_world.TASK.body()["problem"] == "regression"
    assert LinearFitting.round_limit == 19
