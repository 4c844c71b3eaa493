"""A model that was judged in folds is watched, and served by a server that has to make its served folder itself."""

import time
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sluice.components.register.run import register
from sluice.core.errors import BadInput, EnvironmentFault
from sluice.evaluation.evaluation import write
from sluice.evaluation.inputs import read_inputs
from sluice.monitoring.records import WatchSettings
from sluice.registry.predicting import opened_model
from sluice.registry.served import SERVED
from sluice.registry.versions import version_by_alias
from sluice.running.judged_rows import judged_table
from sluice.running.monitoring import WatchOrder, watch
from sluice.serving.registered import Registered
from sluice.serving.replaying import ReplayOrder, replay
from sluice.serving.served_versions import open_registered
from tests.unit.folds_world import BINARY, frame, in_folds, judged, learned

pytestmark = pytest.mark.usefixtures("tracked_home")


def test_a_model_judged_in_folds_is_watched_and_served(tracked_home: Path, tmp_path: Path) -> None:
    data = in_folds(frame(BINARY, 600), BINARY)
    models = learned(data, "zero-rule", "linear")
    write(judged(data, models), tmp_path / "evaluation.json")
    assert register(data.uri, models.uri, tmp_path / "evaluation.json").record.decision == "promoted"

    with opened_model("ill") as model:
        table, parents = judged_table(model)
    said = table.to_pandas().set_index("id")
    inputs = read_inputs(data.uri, models.uri)
    out_of_fold = pd.Series(inputs.scores["test"]["logistic-regression"][:, 1], inputs.frames["test"]["id"])
    assert len(said) == 600
    assert "fold" not in said
    assert np.abs(said["probability_yes"] - out_of_fold.reindex(said.index)).max() < 1e-12
    assert parents[0] == data.id

    now = frame(BINARY, 400, seed=9)[["id", "person", "a", "b", "c"]]
    now.to_parquet(tmp_path / "now.parquet")
    found = watch(WatchOrder("ill", tmp_path / "now.parquet", WatchSettings(metric="log_loss")))
    estimated = found.windows[0].estimated
    assert estimated is not None
    assert estimated.metrics["log_loss"].value == pytest.approx(estimated.metrics["log_loss"].reference, abs=0.1)

    with pytest.raises(BadInput, match="judged in folds, so its rows have no moment"):
        replay(ReplayOrder("ill", "day", timedelta(0), WatchSettings(metric="log_loss")))
    served_without_a_folder(now)


def served_without_a_folder(now: pd.DataFrame) -> None:
    version = version_by_alias("ill", "champion")
    assert version is not None
    tags = {name: value for name, value in version.tags.items() if name != SERVED}
    given, deadline = Registered("ill", version.version, version.digest, tags), time.monotonic() + 120
    with pytest.raises(EnvironmentFault, match="one is being made"):
        open_registered(given)
    judge = None
    while judge is None:
        assert time.monotonic() < deadline
        try:
            judge = open_registered(given)
        except EnvironmentFault:
            time.sleep(0.2)
    assert len(judge.predict(now.head(3).to_dict("records")).values) == 3  # type: ignore[attr-defined]
