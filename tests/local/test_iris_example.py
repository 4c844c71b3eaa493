"""A table of 150 rows, end to end by command: judged in folds, registered, served, and the report says of what."""

import json
from pathlib import Path

import pytest

from sluice.project.files import read_project
from tests.examples import IRIS, module
from tests.serving_process import running
from tests.sluice_command import Sluice


@pytest.mark.long  # the operator on kind trains them, again and again
def test_irises_are_judged_out_of_fold(tmp_path: Path) -> None:
    sluice = Sluice(tmp_path)
    module(IRIS, "lake").lay_out_flowers(tmp_path / "flowers")
    linear = next(each for each in read_project(Path(IRIS) / "sluice.yaml").project.train.candidates if each.settings)
    candidates = ["zero-rule", linear.model_dump(mode="json")]
    quick = ["-p", f"candidates={json.dumps(candidates)}", "-p", "max_rounds=30"]
    done = sluice("run", IRIS, "-p", f"lake={tmp_path / 'flowers'}", *quick, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    said = json.loads(done.stdout)
    result = said["result"]
    assert result["decision"] == "promoted", result  # by the limits that hold for everybody
    (calibration,) = (check for check in result["checks"] if check["name"] == "calibration")
    assert "that did not come true" in calibration["message"]
    assert result["folds"]["winners"] == ["logistic-regression"] * 5
    winner = next(row for row in result["candidates"] if row["name"] == result["winner"])
    assert winner["metrics"]["accuracy"]["value"] > 0.9
    assert winner["metrics"]["accuracy"]["n"] == 150
    report = Path(said["report"]).read_text(encoding="utf-8")
    assert "judged out of fold: each row once" in report
    with running(tmp_path, "serve", "iris", "--port", "0", "--no-token") as server:
        assert "iris/1: digest" in "\n".join(server.said)
        row = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}
        status, answer = server.ask("/v1/predict", {"rows": [row]})
        assert (status, json.loads(answer)["forecasts"][0]["prediction"]) == (200, "setosa")
        assert server.end() == 0
