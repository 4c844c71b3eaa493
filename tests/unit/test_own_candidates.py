"""A candidate of a project's own: two methods, kept without a pickle, each fault of it one line."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from sluice.core.errors import BadInput
from sluice.extending.families import FAMILIES
from sluice.modeling.catalogue import choose
from sluice.modeling.model_files import forecast, load_model, save_model
from sluice.modeling.own_models import OwnModel
from sluice.modeling.rounds import Fitted, NoRound
from sluice.modeling.training_settings import TrainingSettings
from sluice.parameters.train import check_candidates
from sluice.project.code_store import publish
from sluice.project.packing import closure
from sluice.storage.locations import default_store
from tests.unit.model_world import table_parts

GOOD = """
import numpy as np
from shares import smoothed

class Shares:
    def fit(self, rows, label, weight, *, seed, seconds):
        return {"shares": smoothed(label, weight), "seed": seed, "words": ["a", "b"]}

    def predict(self, state, rows):
        assert state["words"] == ["a", "b"]
        return np.tile(state["shares"], (len(rows), 1))
"""
HELPER = """
import numpy as np

def smoothed(label, weight):
    counts = np.bincount(label, weight) + 1
    return counts / counts.sum()
"""
SKLEARN = """
from sklearn.linear_model import LogisticRegression

class Linear:
    def fit(self, rows, label, weight, *, seed, seconds):
        return LogisticRegression(max_iter=200).fit(numbers(rows), label, weight)

    def predict(self, state, rows):
        return state.predict_proba(numbers(rows))

def numbers(rows):
    return rows.select_dtypes("number").fillna(0)
"""
STRICT = """
import numpy as np

class Strict:
    def fit(self, rows, label, weight, *, seed, seconds):
        return {}

    def predict(self, state, rows):
        if rows.isna().all(axis=None):
            raise ValueError("it takes no empty rows")
        return np.full((len(rows), 2), 0.5)
"""
PARTS = table_parts(400)
Train = Callable[..., Fitted]


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Train:
    """Train the class `mine.py:NAME` of a text on a small table."""
    monkeypatch.setenv("SLUICE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SLUICE_STORE", raising=False)

    def fit(text: str, name: str, seconds: float = 60.0) -> Fitted:
        folder = tmp_path / "project"
        folder.mkdir(exist_ok=True)
        (folder / "mine.py").write_text(text)
        (folder / "shares.py").write_text(HELPER)
        code = publish(default_store(), closure(folder, [f"mine.py:{name}"]))
        settings = TrainingSettings(("zero-rule", f"mine.py:{name}"), seconds_per_candidate=seconds, code=code)
        candidate = choose(settings.candidates, PARTS.task)[-1]
        assert candidate.name == f"mine.{name}"
        return candidate.fit(PARTS, settings)

    return fit


@pytest.mark.parametrize(("text", "name"), [(GOOD, "Shares"), (SKLEARN, "Linear"), (STRICT, "Strict")])
def test_it_is_kept_with_its_code_and_answers_the_same_without_a_store(
    train: Train, tmp_path: Path, text: str, name: str
) -> None:
    fitted = train(text, name)
    save_model(tmp_path / "model", fitted.model, PARTS.task)
    save_model(tmp_path / "again", train(text, name).model, PARTS.task)
    for path in (tmp_path / "model").iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()
    shutil.rmtree(tmp_path / "home/store")
    rows = PARTS.validation.rows
    before = forecast(fitted.model, rows, PARTS.task)
    np.testing.assert_array_equal(forecast(load_model(tmp_path / "model"), rows, PARTS.task), before)
    assert isinstance(fitted.model, OwnModel)
    assert fitted.kept.validation > 0


def test_changed_code_is_not_run(train: Train, tmp_path: Path) -> None:
    save_model(tmp_path / "model", train(GOOD, "Shares").model, PARTS.task)
    data = (tmp_path / "model/code.zip").read_bytes()
    (tmp_path / "model/code.zip").write_bytes(data.replace(b"smoothed", b"smootheD"))
    with pytest.raises(BadInput, match=r"code.zip: its SHA-256 is not the one in model.json"):
        load_model(tmp_path / "model")
    options = json.loads((tmp_path / "model/model.json").read_text())
    assert len(options["options"]["code"]) == 64


BROKEN = {
    "skops does not trust it": (
        (
            "from sklearn.tree import DecisionTreeClassifier as Tree; x = np.ones((len(rows), 1)); "
            "return Tree().fit(x, label)"
        ),
        "return rows",
        "holds sklearn.tree._tree.Tree, which skops does not trust; keep what it learned as arrays",
    ),
    "it raises": ("return 1 / 0", "return rows", r"candidate mine.py:Bad: .*mine.py:4: ZeroDivisionError"),
    "it keeps an object": ("return {'a': object()}", "return rows", "fit gave object as 'a', which cannot be kept"),
    "it keeps nothing": ("return None", "return rows", "fit gave NoneType, which cannot be kept"),
    "it learned NaN": ("return {'a': np.array([np.nan])}", "return rows", "NaN or infinite numbers in 'a'"),
    "predict raises": ("return {}", "return rows['nothing']", r"candidate mine.py:Bad: .*mine.py:6: KeyError"),
    "the wrong shape": ("return {}", "return np.ones(3)", r"the shape \(3,\), not \(\d+, 2\)"),
    "NaN": ("return {}", "return np.full((len(rows), 2), np.nan)", "that are NaN or infinite"),
    "no probabilities": ("return {}", "return np.full((len(rows), 2), 0.7)", "each row must add up to 1"),
    "a text": ("return {}", "return 'late'", "gave str, not numbers"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_fault_is_one_line_with_its_place(train: Train, case: str) -> None:
    fit, predict, told = BROKEN[case]
    text = (
        "import numpy as np\nclass Bad:\n    def fit(self, rows, label, weight, *, seed, seconds):\n"
        f"        {fit}\n    def predict(self, state, rows):\n        {predict}\n"
    )
    with pytest.raises(BadInput, match=told) as raised:
        train(text, "Bad")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("class Bad:\n    def fit(self): ...\n", r"candidate mine.py:Bad \(mine.py:1\) has no method predict"),
        ("def Bad(): ...\n", "it is no class; give a class with the methods fit and predict"),
        (
            "class Bad:\n    def __init__(self, x): ...\n    def fit(self): ...\n    def predict(self): ...\n",
            "TypeError",
        ),
    ],
)
def test_what_is_no_candidate_is_told(train: Train, text: str, told: str) -> None:
    with pytest.raises(BadInput, match=told):
        train(text, "Bad")


HANGS = {
    "busy": ("while True: sum(range(9))", "return rows", "fit"),
    "waits": ("import threading; threading.Event().wait()", "return rows", "fit"),
    "sleeps": ("import time; time.sleep(3600)", "return rows", "fit"),
    "handles all errors": ("exec('while True:\\n try: sum([])\\n except Exception: pass')", "return rows", "fit"),
    "waits in predict": (
        "return {}",
        "import threading; threading.Event().wait()",
        "predict",
    ),
}


@pytest.mark.parametrize("case", HANGS)
def test_one_that_hangs_is_ended_by_the_clock(train: Train, case: str) -> None:
    fit, predict, method = HANGS[case]
    text = (
        "class Slow:\n    def fit(self, rows, label, weight, *, seed, seconds):\n"
        f"        {fit}\n    def predict(self, state, rows):\n        {predict}\n"
    )
    with pytest.raises(NoRound, match=rf"mine.py:Slow: {method} did not end within seconds_per_candidate, 0.5 s"):
        train(text, "Slow", seconds=0.5)


def test_without_code_it_is_refused() -> None:
    settings = TrainingSettings(("mine.py:Net",))
    with pytest.raises(BadInput, match="no code came along; run it from the project's folder"):
        choose(settings.candidates, PARTS.task)[-1].fit(PARTS, settings)


@pytest.fixture
def families() -> Iterator[Callable[[], object]]:
    """Makes the registry look anew at what is installed, and does so after the test."""

    def forget() -> object:
        return vars(FAMILIES).pop("_offers", None)

    yield forget
    forget()


def test_a_family_of_an_installed_package_is_trained_kept_and_loaded_by_that_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, families: Callable[[], object]
) -> None:
    site = tmp_path / "site"
    for version in ("1.5", "1.6"):
        info = site / version / f"acme-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: acme\nVersion: {version}\n")
        (info / "entry_points.txt").write_text("[sluice.families]\nshares = acme_shares:Shares\n")
    (site / "1.5/acme_shares.py").write_text(GOOD.replace("from shares import smoothed", HELPER))
    monkeypatch.syspath_prepend(str(site / "1.5"))
    families()
    check_candidates("candidates", ["zero-rule", "shares"])
    candidate = choose(["zero-rule", "shares"], PARTS.task)[-1]
    assert (candidate.name, candidate.baseline) == ("shares", False)
    fitted = candidate.fit(PARTS, TrainingSettings(("zero-rule", "shares")))
    save_model(tmp_path / "model", fitted.model, PARTS.task)
    assert not (tmp_path / "model/code.zip").exists()
    assert json.loads((tmp_path / "model/model.json").read_text())["options"]["package"] == "the package acme 1.5"
    rows = PARTS.validation.rows
    before = forecast(fitted.model, rows, PARTS.task)
    np.testing.assert_array_equal(forecast(load_model(tmp_path / "model"), rows, PARTS.task), before)
    with pytest.raises(BadInput, match="did you mean 'shares'"):
        check_candidates("candidates", ["zero-rule", "sharse"])
    (site / "1.5/acme-1.5.dist-info").rename(site / "1.5/acme-1.6.dist-info")
    shutil.copy(site / "1.6/acme-1.6.dist-info/METADATA", site / "1.5/acme-1.6.dist-info/METADATA")
    families()
    with pytest.raises(BadInput, match=r"of the package acme 1\.5, and here is the package acme 1\.6; install"):
        load_model(tmp_path / "model")
