"""Gate checks and report sections that a project brings: they decide, they are shown as data, and fail in one line."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sluice.components.evaluate.run import run
from sluice.core.errors import BadInput
from sluice.evaluation.evaluation import Evaluation
from sluice.evaluation.evaluation_settings import GateLimits, open_settings
from sluice.project.code_store import publish
from sluice.project.packing import closure
from sluice.reporting.own_sections import RowTables
from sluice.reporting.pages import sections_of
from sluice.storage.locations import default_store
from tests.unit import numbers_world, small_world
from tests.unit.test_pages import Checker

GATE = GateLimits(max_calibration_error=0.25, min_slice_rows=40)
MINE = """
from markupsafe import Markup
from sluice.extending.gate_checks import Answer
from sluice.extending.sections import Content, Plot, Table

def margin(evaluation, least=0.5):
    found = evaluation.winner_row.metrics["roc_auc"].value
    evaluation.datasets["splits"] = "changed"
    status = "passed" if found >= least else "failed"
    return Answer(status, f"the ROC AUC is {found:.3f} & asked is {least}", found, least)

def patience(evaluation):
    return Answer("undecided", "nobody has looked yet")

def carriers(evaluation, rows):
    test, said = rows["test"], rows["forecasts"]
    late = said["late"].groupby(test["carrier"]).mean()
    return Content("By <carrier>", [
        Markup("<script>alert(1)</script>"),
        Table(["<b>Carrier</b>", Markup("<i>rows</i>")], [[Markup("<u>A</u>"), 1], ["B", None], ["C", 0.12345]], "all"),
        Plot("bars", {"late": (list(late.index), list(late))}, "How late they are forecast", "carrier", "share"),
        Plot("line", {"a": ([1, 2], [3, 4]), "b": ([1, 2], [4, 3])}, "Two <lines>"),
    ])
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SLUICE_HOME", str(tmp_path / "home"))
    for name in ("SLUICE_STORE", "MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def evaluated(
    home: Path, text: str, checks: Sequence[Any] = (), sections: Sequence[Any] = (), seconds: float = 60.0
) -> Evaluation:
    """Judge a small world by the checks and sections of a text; the record is e.json, the page e.html."""
    folder = home / "project"
    folder.mkdir(exist_ok=True)
    (folder / "mine.py").write_text(text)
    names = [next(iter(each)) if isinstance(each, dict) else each for each in (*checks, *sections)]
    code = publish(default_store(), closure(folder, names))
    settings = open_settings(GATE, 60, 1, "", code, checks, sections, seconds)
    data = small_world.splits()
    models = small_world.models(data, home / "m", small_world.GOOD)
    return run(data.uri, models.uri, settings, evaluation=home / "e.json", page=home / "e.html")


def test_an_own_check_decides_with_sluices_own(home: Path) -> None:
    found = evaluated(home, MINE, [{"mine.py:margin": {"least": 0.99}}, "mine.py:patience"])
    assert found.decision == "refuse"
    body = json.loads((home / "e.json").read_text())
    margin, patience = body["checks"][-2:]
    auc = next(row for row in body["candidates"] if row["name"] == "weather")["metrics"]["roc_auc"]["value"]
    assert margin == {
        "name": "margin",
        "status": "failed",
        "passed": False,
        "value": auc,
        "threshold": 0.99,
        "message": f"the ROC AUC is {auc:.3f} & asked is 0.99",
        "origin": "mine.py:margin",
        "settings": {"least": 0.99},
    }
    assert patience["status"] == "undecided"
    assert body["reason"] == f"weather did not pass the gate: {margin['message']}."
    assert body["datasets"]["splits"] != "changed"
    assert len(body["code"]) == 64
    (gate,) = (section for section in sections_of((home / "e.html").read_text()) if section.id == "gate")
    assert "the ROC AUC is" in gate.html
    assert "&amp; asked" in gate.html


def test_what_it_lets_pass_is_promoted_and_what_it_cannot_tell_is_not(home: Path) -> None:
    assert evaluated(home, MINE, ["mine.py:margin"]).decision == "promote"
    assert evaluated(home, MINE, ["mine.py:margin", "mine.py:patience"]).decision == "undecided"


def test_an_own_section_is_data_and_no_markup_of_it_passes(home: Path) -> None:
    evaluated(home, MINE, [], ["mine.py:carriers"])
    page = (home / "e.html").read_text()
    own = sections_of(page)[-1]
    assert (own.id, own.title) == ("own-carriers", "By <carrier>")
    for raw in ("<script", "<u>A", "<i>rows", "<b>Carrier", "Two <lines>"):
        assert raw not in page
    for shown in ("&lt;script&gt;alert(1)", "&lt;u&gt;A&lt;/u&gt;", "0.1235", "&ndash;", "Two &lt;lines&gt;"):
        assert shown in own.html
    assert own.html.count("<svg") == 2
    assert "script" not in Checker(page).tags


def test_rows_of_a_section_are_those_that_were_judged(home: Path) -> None:
    found = evaluated(home, MINE)
    data = small_world.splits()
    rows = RowTables(data.uri, found)
    np.testing.assert_array_equal(rows["forecasts"]["late"], found.classified.probabilities[:, 1])
    np.testing.assert_array_equal(rows["forecasts"]["row"], rows["test"]["row"])
    np.testing.assert_array_equal(rows["test"]["late"], found.classified.labels)
    assert list(rows) == ["validation", "test", "forecasts"]
    assert numbers_world.TASK.regression  # the other kind is seen in test_regression_pipeline
    with pytest.raises(KeyError, match="there are validation, test, forecasts"):
        rows["train"]


HEAD = "from sluice.extending.gate_checks import Answer\nfrom sluice.extending.sections import Content, Plot, Table\n"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("def f(e): return 1 / 0", "gate check mine.py:f: mine.py:3: ZeroDivisionError: division by zero"),
        ("def f(e): return True", r"gate check mine.py:f \(mine.py:3\): it gave True \(bool\); give sluice.extending"),
        ("def f(e): return Answer('ok', 'fine')", "mine.py:3: ValueError: Answer: the status 'ok' is unknown; use one"),
        ("def f(e): return Answer('passed', ' ')", "mine.py:3: ValueError: Answer: a reason is missing"),
        ("def f(e): return Answer('passed', 'x', float('nan'))", "Answer: value is nan; give a finite number"),
        (
            "def f(): return Answer('passed', 'x')",
            r"it is called as \(evaluation\), and takes \(\): too many positional",
        ),
        ("f = 3", "has no '__call__'; it needs"),
        ("def g(e): ...", "mine.py has no 'f'"),
        ("def f(e) return", "mine.py:3: this is no Python"),
    ],
)
def test_a_check_that_is_none_ends_in_one_line_and_leaves_nothing(home: Path, body: str, said: str) -> None:
    with pytest.raises(BadInput, match=said) as caught:
        evaluated(home, HEAD + body, ["mine.py:f"])
    assert "\n" not in str(caught.value)
    assert not (home / "e.json").exists()


HANGS = "import threading, time\ndef check(e): threading.Event().wait()\ndef section(e, rows):\n    time.sleep(3600)\n"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            (["mine.py:check"], []),
            "gate check mine.py:check (mine.py:2): it did not end within",
        ),
        (([], ["mine.py:section"]), "report section mine.py:section (mine.py:3): it did not end within"),
    ],
)
def test_what_hangs_is_ended_by_the_clock_and_named(home: Path, asked: tuple[list[str], list[str]], said: str) -> None:
    with pytest.raises(BadInput) as caught:
        evaluated(home, HANGS, *asked, seconds=0.5)
    assert str(caught.value).startswith(f"{said} seconds_per_check, 0.5 s; ")
    assert not (home / "e.json").exists()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (["mine.py:slices"], "'slices' is Sluice's own gate check; give yours another name"),
        (["a.py:f", "b.py:f"], "names 'f' twice; name it once, or rename one of them"),
        (["nobody"], "gate check 'nobody' is unknown; there is none yet"),
        ([{"a.py:f": 3}], "write a name, or one name with its settings"),
        ("a.py:f", "write a list of names"),
        ([{"mine.py:f": {"many": 1}}], r"gate check mine.py:f \(mine.py:3\): setting 'many' is unknown"),
    ],
)
def test_a_wrong_list_of_checks_is_told_before_the_work(home: Path, value: Any, said: str) -> None:
    (home / "mine.py").write_text(HEAD + "def f(e, few=2): ...\n")
    code = publish(default_store(), closure(home, ["mine.py:f"]))
    with pytest.raises(BadInput, match=said):
        open_settings(GATE, 60, 1, "", code, value)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            "def f(e, rows): return rows['tests']",
            "report section mine.py:f: mine.py:3: KeyError: .*there are validation",
        ),
        (
            "def f(e, rows): return '<b>hello</b>'",
            "it gave '<b>hello</b>' .str.; give sluice.extending.sections.Content",
        ),
        ("def f(e, rows): return Content('', ['x'])", "Content: the title is no text"),
        ("def f(e, rows): return Content('x', 'text')", "Content: parts must be a list"),
        ("def f(e, rows): return Content('x', [rows])", "Content: part 0 is RowTables; give a text, Table or Plot"),
        ("def f(e, rows): return Content('x', [Table(['a'], [['b', 'c']])])", "Table: row 0 has not one cell for each"),
        ("def f(e, rows): return Content('x', [Plot('pie', {'a': ([1], [2])}, 's')])", "the kind 'pie' is unknown"),
        ("def f(e, rows): return Content('x', [Plot('line', {'a': ([1], [2, 3])}, 's')])", "equally many values"),
        ("def f(e, rows): return Content('x', [Plot('line', {'a': ([1], [1e999])}, 's')])", "no finite number"),
        ("def f(e): ...", r"it is called as \(evaluation, rows\)"),
    ],
)
def test_a_section_that_is_none_ends_in_one_line_and_leaves_nothing(home: Path, body: str, said: str) -> None:
    with pytest.raises(BadInput, match=said) as caught:
        evaluated(home, HEAD + body, [], ["mine.py:f"])
    assert "\n" not in str(caught.value)
    assert not (home / "e.json").exists()
