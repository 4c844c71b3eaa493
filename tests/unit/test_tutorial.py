"""The tutorial's own lines: its file, project, metric and candidate, taken out of docs/tutorial.md."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sluice.modeling.own_models import checked_state
from sluice.problems.metrics import METRICS
from sluice.project.code import code_of_folder
from sluice.project_tools.new_project import init_project
from sluice.project_tools.project_check import check_project

TEXT = (Path(__file__).parents[2] / "docs/tutorial.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def test_what_a_reader_types_works_and_says_what_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (make, mine), (declared,) = blocks("python"), blocks("yaml")
    exec(compile(make, "tutorial.md", "exec"), {})
    written = init_project(Path("tumours"), [Path("tumours.csv")], "diagnosis")
    for guess in written.guesses:
        if guess.topic in ("label", "positive", "time", "split", "metric", "baseline"):
            assert f"{guess.topic:<10} {guess.choice}: {guess.reason}" in TEXT
    checked = check_project(Path("tumours"))
    assert checked.summary().rpartition(" in ")[0] in TEXT
    project = tmp_path / "tumours/sluice.yaml"
    (tmp_path / "tumours/mine.py").write_text(mine)
    project.write_text(project.read_text().partition("metric:")[0] + declared)
    assert check_project(Path("tumours")).errors == 0
    rows = pd.read_csv("tumours.csv")
    label = (rows.pop("diagnosis") == "malignant").to_numpy(int)
    code = code_of_folder(tmp_path / "tumours", ["mine.py:harm", "mine.py:Discriminant"])
    candidate = code.load("mine.py:Discriminant")()
    state = checked_state("mine.py:Discriminant", candidate.fit(rows, label, np.ones(500), seed=1, seconds=60.0))
    harm = METRICS.get("mine.py:harm", code)(label, candidate.predict(state, rows), None)
    nobody = METRICS.get("mine.py:harm", code)(label, np.tile([1.0, 0.0], (500, 1)), None)
    assert nobody == pytest.approx(10 * label.mean())
    assert harm < nobody / 10
