"""Registries: Sluice's own things, installed packages' and a project's, held to their protocol and told by name."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest

from sluice.core.errors import BadInput
from sluice.core.extensions import Offer, Registry, check_fits, near
from sluice.project.code import ProjectCode, code_of_folder

HERE = "tests.unit.test_extensions"


class Metric(Protocol):
    """What a metric has."""

    name: str

    @property
    def lower(self) -> bool: ...

    def __call__(self, label: Any, forecast: Any, weight: Any | None = None) -> float: ...


class Family(Protocol):
    """What a family has."""

    def fit(self, rows: Any, label: Any, *, seed: int, seconds: float) -> Any: ...

    def predict(self, state: Any, rows: Any) -> Any: ...


class Prepare(Protocol):
    def __call__(self, tables: Any) -> Any: ...


class Mae:
    name = "mae"
    lower = True

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale

    def __call__(self, label: Any, forecast: Any, weight: Any | None = None) -> float:
        return float(np.average(np.abs(label - forecast), weights=weight)) * self.scale


class Loose:
    name = "loose"
    lower = False

    def __call__(self, *values: Any, **more: Any) -> float:
        return 0.0


def metrics(**more: str) -> Registry[Metric]:
    return Registry("metrics", Metric, {"mae": f"{HERE}:Mae", "loose": f"{HERE}:Loose", **more})


def project(folder: Path, text: str) -> ProjectCode:
    folder.mkdir(exist_ok=True)
    (folder / "mine.py").write_text(text)
    return code_of_folder(folder, ["mine.py:any"])


Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Puts a package with entry points where Python finds installed ones."""
    monkeypatch.syspath_prepend(str(tmp_path / "site"))

    def make(name: str, source: str, **entries: str) -> None:
        info = tmp_path / "site" / f"{name}-1.5.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.5\n")
        lines = "\n".join(f"{key} = {value}" for key, value in entries.items())
        (info / "entry_points.txt").write_text(f"[sluice.metrics]\n{lines}\n")
        (tmp_path / "site" / f"{name}.py").write_text(source)

    return make


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(BadInput) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_built_in_thing_is_made_with_its_settings_and_imported_only_then() -> None:
    found = Registry("metrics", Metric, {"mae": f"{HERE}:Mae", "gone": "no.such.module:X"})
    assert found.names() == ["gone", "mae"]
    assert found.get("mae", settings={"scale": 2.0})(np.array([1.0, 2.0]), np.array([2.0, 2.0])) == 1.0
    assert "No module named 'no'" in refusal(lambda: found.get("gone"))


def test_a_wrong_name_is_told_with_the_nearest_one() -> None:
    assert refusal(lambda: metrics().get("mea")) == (
        "metric 'mea' is unknown; did you mean 'mae'? (a project's own is written FILE.py:NAME; another's needs its "
        "package installed here)"
    )
    assert "there is loose, mae" in refusal(lambda: metrics().get("zzzz"))
    assert near("x", []) == "; there is none yet"


@pytest.mark.parametrize("name", ["mine.py:Net", "mine.py", "folder/mine.py:Net", "mine:Net"])
def test_a_reference_without_a_project_is_told(name: str) -> None:
    assert "no project here" in refusal(lambda: metrics().get(name))


def test_a_project_s_own_class_function_and_object_fit(tmp_path: Path) -> None:
    code = project(
        tmp_path,
        "class Mine:\n    name, lower = 'mine', True\n"
        "    def __init__(self, power=1): self.power = power\n"
        "    def __call__(self, label, forecast, weight=None): return self.power\n"
        "made = Mine(7)\n"
        "def rows(tables): return tables\n",
    )
    assert metrics().get("mine.py:Mine", code, {"power": 3})(0, 0) == 3
    assert metrics().get("mine.py:made", code)(0, 0) == 7
    assert Registry[Prepare]("prepare", Prepare, {}).get("mine.py:rows", code)(5) == 5


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (
            "class X:\n  def fit(self, rows, label, *, seed, seconds): ...",
            ["mine.py:1", "no 'predict'", "fit(rows, label"],
        ),
        ("class X:\n  fit = 3\n  def predict(self, state, rows): ...", ["fit is 3", "must be a function"]),
        (
            "class X:\n  def fit(self, rows, label): ...\n  def predict(self, state, rows): ...",
            ["called as fit(rows, label, *, seed, seconds)", "takes fit(rows, label)", "seed"],
        ),
        (
            "class X:\n  def fit(self, rows, label, extra, *, seed, seconds): ...\n  def predict(self, s, rows): ...",
            ["missing a required argument: 'extra'"],
        ),
        ("class X:\n  def __init__(self, depth): ...", ["missing a required argument: 'depth'", "give it among"]),
        ("\nclass X:\n  def __init__(self):\n    raise ValueError('no')", ["mine.py:4: ValueError: no"]),
        ("\nclass X:\n  def __getattr__(self, name):\n    return 1 / 0", ["mine.py:4: ZeroDivisionError"]),
        ("X = 5", ["no 'fit'"]),
        ("X = None", ["no 'fit'"]),
    ],
)
def test_a_project_s_own_that_does_not_fit_is_told_with_its_line(tmp_path: Path, source: str, words: list[str]) -> None:
    families: Registry[Family] = Registry("families", Family, {}, title="candidate")
    said = refusal(lambda: families.get("mine.py:X", project(tmp_path, source)))
    assert said.startswith("candidate mine.py:X"), said
    for word in words:
        assert word in said, said


def test_settings_that_it_does_not_take_are_told(tmp_path: Path) -> None:
    assert "setting 'scail' is unknown; there is 'scale'" in refusal(
        lambda: metrics().get("mae", settings={"scail": 1})
    )
    code = project(tmp_path, "def rows(tables): ...")
    prepare: Registry[Prepare] = Registry("prepare", Prepare, {})
    assert "takes no settings" in refusal(lambda: prepare.get("mine.py:rows", code, {"a": 1}))


def test_an_attribute_of_another_type_is_told() -> None:
    class Wrong(Mae):
        name = 3  # type: ignore[assignment]

    assert "name is 3, and must be of the type str" in refusal(lambda: check_fits(Wrong(), Metric, "metric"))
    Wrong.name, Wrong.lower = "fine", "yes"  # type: ignore[assignment]
    assert "lower is 'yes'" in refusal(lambda: check_fits(Wrong(), Metric, "metric"))


def test_attributes_of_types_that_cannot_be_looked_into_are_only_looked_for() -> None:
    class Wide(Protocol):
        anything: Any
        share: float
        kind: type[Exception]
        names: tuple[str, ...]

    class Fits:
        anything = None
        share = 1
        kind = ValueError
        names = ("a",)

    check_fits(Fits(), Wide, "x")
    assert "no 'anything'" in refusal(lambda: check_fits(Mae(), Wide, "x"))


def test_an_installed_package_s_thing_is_found_and_named(install: Install) -> None:
    install(
        "acme_metrics",
        f"from {HERE} import Mae\nclass Poisson(Mae):\n    name = 'poisson'\n",
        poisson="acme_metrics:Poisson",
        broken="acme_metrics:Nothing",
        wrong="acme_metrics:Mae.__call__",
    )
    install("acme_broken", "raise RuntimeError('no licence')", licensed="acme_broken:X", leaving="acme_leaving:X")
    (Path(sys.path[0]) / "acme_leaving.py").write_text("import sys; sys.exit(3)")
    found = metrics()
    assert found.names() == ["broken", "leaving", "licensed", "loose", "mae", "poisson", "wrong"]
    assert found.get("poisson").name == "poisson"
    assert found.get("mae").name == "mae"
    assert "of the package acme_broken 1.5 (acme_broken:X) cannot be loaded: RuntimeError: no licence" in refusal(
        lambda: found.get("licensed")
    )
    assert "has no attribute 'Nothing'" in refusal(lambda: found.get("broken"))
    assert "SystemExit: 3" in refusal(lambda: found.get("leaving"))
    assert "the package acme_metrics 1.5" in refusal(lambda: found.get("wrong"))
    assert Offer("poisson", "acme_metrics:Poisson", "the package acme_metrics 1.5") in found.offers()


def test_a_name_that_two_bring_is_nobody_s(install: Install) -> None:
    install("acme_one", "", mae="acme_one:X", both="acme_one:X")
    install("acme_two", "", both="acme_two:X")
    found = metrics()
    said = refusal(lambda: found.get("mae"))
    assert "brought by Sluice and by the package acme_one 1.5" in said
    said = refusal(lambda: found.get("both"))
    assert "acme_one 1.5" in said
    assert "acme_two 1.5" in said
    assert found.get("loose").name == "loose"
