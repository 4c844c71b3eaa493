"""A project declared and run in Python, and what its run left, as a notebook reads it."""

from pathlib import Path

import pandas as pd
import pytest

import sluice
from tests.unit import predict_world


def test_a_project_runs_from_python_and_leaves_result_evaluation_report_and_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SLUICE_HOME", "SLUICE_STORE", "MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SLUICE_HOME", str(tmp_path / "home"))
    folder = predict_world.write(tmp_path / "project", {"prepare.py": predict_world.HOUSES_PREPARE}, {})
    predict_world.write(folder / "data", {"contract.yaml": predict_world.HOUSES}, {"houses": predict_world.houses()})
    project = sluice.Project(
        name="houses",
        data="data",
        rows=sluice.Rows(table="houses"),
        label=sluice.Label(column="price"),
        features=("rooms", "area", "per_room", "region"),
        prepare="prepare.py:rows",
        train=sluice.Train(candidates=("mean", "linear-regression"), rounds=2),
    )
    run = sluice.run(project, folder=folder, quiet=True)
    assert (run.state, run.error, run.record.project) == ("succeeded", "", str(folder))
    assert run.id == sluice.get_run("last").id == sluice.runs()[0].id
    assert run.decision == run.result["decision"]
    assert run.evaluation.digest == run.result["evaluation_digest"]
    chosen = run.metrics.query("candidate == 'linear-regression' and metric == 'rmse'").iloc[0]
    found = next(row for row in run.evaluation.candidates if row.name == "linear-regression").metrics["rmse"]
    assert (chosen.value, chosen.low, chosen.high) == (found.value, found.low, found.high)
    assert run.report.is_file()
    assert "<svg" in run.html()
    assert run.dataset("prepare").rows == {"rows": 400}
    rows = predict_world.houses(6, seed=9).drop(columns="price")
    answer = run.model().predict(rows)
    assert isinstance(answer, pd.DataFrame)
    assert answer.id.tolist() == rows.id.tolist()
    with pytest.raises(sluice.BadInput, match="no run"):
        sluice.get_run("none-such")
