"""Problems: Sluice's own and those that projects and packages bring, from the label to the registered model."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from sklearn.metrics import mean_gamma_deviance, mean_pinball_loss, mean_poisson_deviance

from sluice.components.evaluate.run import run as evaluate
from sluice.components.register.run import run as register
from sluice.components.train.run import run as train
from sluice.core.errors import BadInput
from sluice.core.json_documents import read_json
from sluice.evaluation.evaluation_settings import GateLimits, open_settings
from sluice.evaluation.record import EvaluationRecord
from sluice.modeling.catalogue import choose
from sluice.modeling.model_files import forecast, load_model, save_model
from sluice.modeling.networks import LabelScale
from sluice.modeling.parts import Part, Parts
from sluice.modeling.training_settings import TrainingSettings, check_settings
from sluice.problems.loss_metrics import LEAST_FORECAST, loss_metric
from sluice.problems.losses import OF_NUMBERS, Loss
from sluice.problems.metrics import BUILT_IN
from sluice.problems.problem import Problem
from sluice.problems.registry import PROBLEMS, OpenedProblem, completed, open_problem, problem_of
from sluice.problems.task import Task, task_of
from sluice.project.code import open_code
from sluice.project.code_store import publish
from sluice.project.packing import closure
from sluice.storage.locations import default_store
from tests.unit import numbers_world

TASK = Task("calls", "How many?", "calls", (), ("row",), ("x", "y"), problem="regression", problem_name="counts")
MINE = """
import numpy as np
from sluice.problems.metrics import Metric
from sluice.problems.problem import Problem

def _lost(label, forecast):
    return np.maximum(0.9 * (label - forecast), 0.1 * (forecast - label))

supply = Problem(
    like="regression", takes=lambda label: label % 1 == 0, rule="a whole number", loss="quantile", level=0.9,
    metrics=(Metric("lost", "Lost calls", "less", ("regression",), rows=_lost, in_label_units=True),), primary="lost",
    baselines=("mean",),
)
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SLUICE_HOME", str(tmp_path / "home"))
    for name in ("SLUICE_STORE", "MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "SLUICE_RUN", "SLUICE_PIPELINE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def frame(rows: int, seed: int = 0) -> pd.DataFrame:
    """Calls that follow a Poisson distribution whose logarithm is linear in x and y."""
    generator = np.random.default_rng(seed)
    x, y = generator.normal(size=rows), generator.uniform(size=rows)
    calls = generator.poisson(np.exp(1.0 + 0.6 * x - 0.8 * y)).astype(float)
    return pd.DataFrame({"row": np.arange(rows), "x": x, "y": y, "calls": calls})


def parts(rows: int = 2000, shift: float = 0.0, problem: str = "counts") -> Parts:
    every = frame(rows + 1000)
    labels = every.pop("calls").to_numpy() + shift
    cut = (Part(every[:rows].reset_index(drop=True), labels[:rows]), Part(every[rows:], labels[rows:]))
    return Parts(replace(TASK, problem_name=problem), cut[0], cut[1], cut[0])


def numbers(**changes: Any) -> OpenedProblem:
    """A problem like regression with these changes."""
    return OpenedProblem("mine", completed(Problem("regression", **changes), "regression", "mine"))


def opened(**changes: Any) -> TrainingSettings:
    """Settings that train a problem like regression with these changes."""
    problem = Problem("regression", **changes)
    return TrainingSettings(
        max_rounds=12, seed=1, problem=OpenedProblem("mine", completed(problem, "regression", "mine"))
    )


def published(home: Path, text: str, name: str = "supply") -> str:
    (home / "mine.py").write_text(text)
    return publish(default_store(), closure(home, [f"mine.py:{name}"]))


def test_the_poisson_deviance_is_scikit_learns() -> None:
    generator = np.random.default_rng(4)
    label, said = generator.poisson(1.5, 500).astype(float), generator.gamma(2, 1, 500)
    weights = generator.integers(0, 4, (500, 3)).astype(np.float64)
    (metric,) = open_problem("counts").problem.metrics
    assert (label == 0).any()
    assert metric(label, said) == pytest.approx(mean_poisson_deviance(label, said))
    wanted = [mean_poisson_deviance(label, said, sample_weight=weights[:, i]) for i in range(3)]
    np.testing.assert_allclose(metric.under(label, said, weights), wanted)
    assert metric(3 * label, 3 * said) == pytest.approx(3 * metric(label, said)), "it is told in the label's units"
    nothing = np.zeros(500)
    assert metric(label, nothing) == pytest.approx(mean_poisson_deviance(label, nothing + LEAST_FORECAST))


def test_the_metric_goes_with_the_loss() -> None:
    generator = np.random.default_rng(5)
    label, said = generator.gamma(2, 1, 300), generator.gamma(2, 1, 300)
    assert loss_metric(Loss("gamma"))(label, said) == pytest.approx(mean_gamma_deviance(label, said))
    for level in (0.1, 0.9, 0.975):
        wanted = mean_pinball_loss(label, said, alpha=level)
        assert loss_metric(Loss("quantile", level))(label, said) == pytest.approx(wanted)
    assert loss_metric(Loss("quantile", 0.9)) is BUILT_IN["pinball_90"]
    names = {loss: numbers(loss=loss, level=0.975).problem.primary for loss in OF_NUMBERS}
    assert list(names.values()) == ["rmse", "mae", "poisson_deviance", "gamma_deviance", "pinball_97_5"]
    assert [numbers(loss=loss).row_loss() for loss in ("squared", "absolute")] == [None, BUILT_IN["mae"]]
    chosen = numbers(loss="poisson", primary="mae").problem
    assert (chosen.primary, chosen.stops_by, chosen.metrics) == ("mae", "mae", ())


def test_tasks_records_and_networks_without_a_name_keep_their_bytes() -> None:
    plain = replace(TASK, problem_name="")
    assert "problem_name" not in plain.body()
    assert TASK.body() == plain.body() | {"problem_name": "counts"}
    assert LabelScale(1.0, 2.0).body() == {"centre": 1.0, "spread": 2.0}
    assert (plain.posed, TASK.posed, TASK.kind, TASK.regression) == ("regression", "counts", "regression", True)


def test_the_linear_model_of_counts_is_the_one_of_greatest_likelihood() -> None:
    """Against scipy's minimum of the negative log likelihood, without a penalty."""
    given = parts()
    linear = choose(["linear"], given.task)[-1].fit(given, TrainingSettings(max_rounds=19, patience=19, seed=1))
    columns = np.column_stack([np.ones(2000), given.train.rows[["x", "y"]]])
    labels = given.train.labels
    best = minimize(lambda b: (np.exp(columns @ b) - labels * (columns @ b)).mean(), np.zeros(3), method="BFGS").x
    said = forecast(linear.model, given.validation.rows, given.task)
    wanted = np.exp(np.column_stack([np.ones(1000), given.validation.rows[["x", "y"]]]) @ best)
    assert np.median(np.abs(said / wanted - 1)) < 0.02
    assert linear.parameters["loss"] == "poisson"
    assert linear.metric.name == "poisson_deviance"


@pytest.mark.parametrize(
    ("loss", "names"),
    [
        ({"loss": "poisson"}, ("linear-regression", "gradient-boosted-trees", "embedding-network")),
        ({"loss": "gamma"}, ("linear-regression", "gradient-boosted-trees", "embedding-network")),
        ({"loss": "absolute"}, ("gradient-boosted-trees", "embedding-network")),
        ({"loss": "quantile", "level": 0.9}, ("gradient-boosted-trees", "embedding-network")),
    ],
)
def test_families_learn_by_the_problems_loss_and_load_without_it(
    home: Path, loss: dict[str, Any], names: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    given = parts(shift=1.0 if loss["loss"] == "gamma" else 0.0)
    settings = opened(**loss)
    chosen = choose([], given.task, settings.problem)
    assert tuple(each.name for each in chosen if not each.baseline) == names
    left_out = "left out: linear-regression cannot be trained by the loss" in capsys.readouterr().out
    assert left_out == ("linear-regression" not in names)
    labels, rows = given.validation.labels, given.validation.rows
    for candidate in chosen:
        if candidate.baseline:
            continue
        fitted = candidate.fit(given, settings)
        said = forecast(fitted.model, rows, given.task)
        save_model(home / candidate.name, fitted.model, given.task)
        np.testing.assert_array_equal(forecast(load_model(home / candidate.name), rows, given.task), said)
        if loss["loss"] == "quantile":
            assert 0.85 < (labels <= said).mean() < 0.95, candidate.name
        elif loss["loss"] == "absolute":
            assert (labels <= said).mean() < 0.62, "a median of counts, below their mean"
        else:
            measure = mean_poisson_deviance if loss["loss"] == "poisson" else mean_gamma_deviance
            assert said.min() > 0
            assert measure(labels, said) < 0.75 * measure(labels, np.full(1000, labels.mean())), candidate.name


def test_what_cannot_learn_by_the_loss_is_refused_by_name_and_baselines_are_the_problems() -> None:
    problem = numbers(loss="absolute", baselines=("median",), candidates=("trees",))
    with pytest.raises(BadInput, match="'linear-regression', which cannot be trained by the loss absolute of the prob"):
        choose(["linear"], TASK, problem)
    assert [each.name for each in choose([], TASK, problem)] == ["median", "gradient-boosted-trees"]
    assert [each.name for each in choose(["network"], TASK, problem)] == ["median", "embedding-network"]
    assert [each.name for each in choose(["mean", "trees"], TASK, problem)] == ["mean", "gradient-boosted-trees"]
    counts = [each.name for each in choose([], TASK, problem_of(TASK))]
    assert counts == ["mean", "linear-regression", "gradient-boosted-trees", "embedding-network"]


def test_a_projects_problem_goes_from_training_to_the_registered_model(home: Path, empty_tracking: Path) -> None:
    (home / "home").mkdir()
    (home / "home/mlflow.db").write_bytes(empty_tracking.read_bytes())
    code = published(home, MINE)
    task = replace(TASK, problem_name="mine.py:supply")
    rows = frame(2500, 3)
    splits = numbers_world.splits(rows, task)
    trained = train(splits.uri, check_settings((), max_rounds=6, code=code, seed=1))
    assert set(trained.losses) == {"mean", "gradient-boosted-trees", "embedding-network"}
    assert trained.metric == "lost calls"
    assert trained.bundle.manifest.producer.parameters["code"] == code
    settings = open_settings(GateLimits(), 60, 1, "", code)
    found = evaluate(splits.uri, trained.bundle.uri, settings, evaluation=home / "e.json", page=home / "e.html")
    assert found.metric.name == "lost"
    assert {check.name: check.status for check in found.checks}["bias"] == "not judged"
    (bias,) = (check.message for check in found.checks if check.name == "bias")
    assert "the problem's loss is quantile 0.9" in bias
    assert found.test[found.winner].losses.mean() == pytest.approx(found.winner_metrics()["lost"])
    record = EvaluationRecord.model_validate(read_json(home / "e.json"))
    assert (record.problem, record.problem_name, record.own_metrics[0].title) == (
        "regression",
        "mine.py:supply",
        "Lost calls",
    )
    done = register(splits.uri, trained.bundle.uri, home / "e.json", result=home / "result.json", card=home / "card.md")
    assert done.record.decision == "promoted"
    assert done.version.tags["sluice.problem"] == "mine.py:supply"
    assert "- **Problem**: `mine.py:supply`" in done.card
    assert json.loads((home / "result.json").read_text())["problem_name"] == "mine.py:supply"
    (home / "mine.py").unlink()
    default_store().delete(code)
    served = mlflow.pyfunc.load_model("models:/calls@champion")
    said = served.predict(rows[2000:])["prediction"].to_numpy()
    np.testing.assert_array_equal(said, found.numbers.forecasts)


def test_without_the_code_nothing_is_trained_and_a_plain_record_has_no_name(home: Path) -> None:
    splits = numbers_world.splits(frame(500, 3), replace(TASK, problem_name="mine.py:supply"))
    with pytest.raises(BadInput, match=r"problem 'mine\.py:supply' is a project's own, and there is no project here"):
        train(splits.uri, check_settings(("mean", "trees"), max_rounds=1))
    other = numbers_world.splits(frame(500, 3).assign(calls=lambda rows: rows["calls"] - 0.5), TASK)
    with pytest.raises(BadInput, match=r"part 'train', column 'calls', row \d+: .* is no label of counts; it takes a"):
        train(other.uri, check_settings(("mean", "trees"), max_rounds=1))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("supply = 7", r"problem mine.py:supply has no 'like'; it needs like"),
        ("class supply:\n    like = 'regression'", r"problem mine.py:supply .*give sluice.problems.problem.Problem\("),
        ("import nothing_there", r"mine.py cannot be imported: mine.py:4: there is no module 'nothing_there'"),
        ("supply = Problem(like='ratio')", r"mine.py:4: ValueError: Problem: like is 'ratio'; use one of binary"),
        ("supply = Problem(like='binary', loss='poisson')", "loss is 'poisson'; like 'binary' there are log_loss"),
        ("supply = Problem(like='regression', loss='quantile', level=2)", "level is 2; give a number between 0 and 1"),
        ("supply = Problem(like='regression', takes=abs)", "rule is ''; say in at most 200 characters what takes"),
        ("supply = Problem(like='regression', baselines=('zero-rule',))", "baselines names 'zero-rule'; like 'regre"),
        ("supply = Problem(like='regression', candidates=('mean',))", "candidates names the baseline 'mean'"),
        ("supply = Problem(like='regression', candidates=('a.py:N',))", "'a.py:N', whose code would not come along"),
        ("supply = Problem(like='regression', candidates='trees')", r"candidates is 'trees'; give a tuple of str"),
        (
            "supply = Problem(like='regression', primary='rsme')",
            r"mine.py:supply: .*'rsme'.*did you mean 'rmse'",
        ),
        (
            "supply = Problem(like='regression', metrics=(Metric('a', 'A', 'less', ('binary',), rows=abs),))",
            "its metric 'a' is for binary, not for regression",
        ),
        (
            "supply = Problem(like='regression', metrics=(Metric('a b', 'A', 'less', ('regression',), rows=abs),))",
            "metric 'a b': use letters, digits and _ for its name",
        ),
    ],
)
def test_what_is_no_problem_ends_in_one_line(home: Path, text: str, told: str) -> None:
    head = "from sluice.problems.problem import Problem\nfrom sluice.problems.metrics import Metric\n\n"
    with pytest.raises(BadInput, match=told) as caught:
        open_problem("mine.py:supply", open_code(published(home, f"{head}{text}\n")))
    assert "\n" not in str(caught.value)


def test_faults_of_its_functions_are_told_with_file_and_line(home: Path) -> None:
    text = MINE.replace("label % 1 == 0", "label.nothing").replace("return np.maximum", "return np.nothing")
    problem = open_problem("mine.py:supply", open_code(published(home, text)))
    with pytest.raises(BadInput, match=r"problem mine.py:supply: mine.py:10: AttributeError"):
        problem.check_labels(np.zeros(3), "here")
    with pytest.raises(BadInput, match=r"metric lost: mine.py:7: AttributeError"):
        problem.problem.metrics[0](np.zeros(3), np.zeros(3))
    strange = open_problem("mine.py:supply", open_code(published(home, MINE.replace("label % 1 == 0", "label"))))
    with pytest.raises(BadInput, match=r"takes gave float64 of shape .3,. for 3 labels; give one truth value for each"):
        strange.check_labels(np.zeros(3), "here")


def test_losses_say_which_labels_they_take() -> None:
    with pytest.raises(BadInput, match=r"here, row 1: -1.0 is no label of mine; it takes a number from 0 on"):
        numbers(loss="poisson").check_labels(np.array([0.5, -1.0]), "here")
    with pytest.raises(BadInput, match=r"here, row 0: 0.0 is no label of mine; it takes a number above 0"):
        numbers(loss="gamma").check_labels(np.zeros(2), "here")


def test_an_installed_packages_problem_goes_by_its_name(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = home / "site"
    info = site / "acme-1.5.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.5\n")
    (info / "entry_points.txt").write_text("[sluice.problems]\nsupply = acme_problems:supply\n")
    (site / "acme_problems.py").write_text(MINE)
    monkeypatch.syspath_prepend(str(site))
    PROBLEMS.__dict__.pop("_offers", None)
    try:
        assert PROBLEMS.names() == ["binary", "counts", "multiclass", "regression", "supply"]
        assert problem_of(replace(TASK, problem_name="supply")).loss.words == "quantile 0.9"
        with pytest.raises(BadInput, match="problem 'suply' is unknown; did you mean 'supply'"):
            PROBLEMS.check_known("suply")
    finally:
        PROBLEMS.__dict__.pop("_offers", None)


def test_a_problem_of_classes_takes_its_classes_and_is_judged_by_its_metric(home: Path) -> None:
    text = """
import numpy as np
from sluice.problems.metrics import Metric
from sluice.problems.problem import Problem

def _far(label, forecast):
    return np.abs(label - forecast @ np.arange(forecast.shape[1]))

far = Metric("far", "Classes away", "less", ("binary", "multiclass"), rows=_far)
supply = Problem("multiclass", takes=lambda c: np.isin(c, ["low", "mid", "high"]), rule="low, mid or high",
                 metrics=(far,), primary="far", baselines=("zero-rule",))
"""
    code = published(home, text)
    rows = frame(1500, 5)
    rows["calls"] = np.digitize(rows["calls"], [1, 3]).astype(np.int64)
    names = ("low", "mid", "high")
    task = replace(TASK, classes=names, problem="multiclass", problem_name="mine.py:supply")
    splits = numbers_world.splits(rows, task)
    trained = train(splits.uri, check_settings(("linear", "trees"), max_rounds=3, code=code))
    assert (set(trained.losses), trained.metric) == (
        {"zero-rule", "logistic-regression", "gradient-boosted-trees"},
        "classes away",
    )
    settings = open_settings(GateLimits(), 60, 1, "", code)
    found = evaluate(splits.uri, trained.bundle.uri, settings, evaluation=home / "e.json", page=home / "e.html")
    assert (found.metric.name, task_of(splits).posed) == ("far", "mine.py:supply")
    assert found.decision == "promote"
