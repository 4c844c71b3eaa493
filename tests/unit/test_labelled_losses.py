"""What a canary is told of true losses: the log's forecasts beside the labels that have come."""

import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from sluice.predictions.labels import keep_labels
from sluice.predictions.reader import latest_form
from sluice.serving.exchange import Loaded
from sluice.serving.labelled_losses import LoggedLosses
from sluice.serving.losses import loss_cells
from sluice.serving.prediction_log import LogSettings, PredictionLog
from sluice.storage.stores import open_store
from tests.unit.served_rule import Rule, exchange, served

CHAMPION, CHALLENGER = "a" * 64, "b" * 64


@pytest.mark.parametrize("classes", [("no", "yes"), ()])
def test_both_versions_are_judged_on_the_rows_whose_labels_have_come(tmp_path: Path, classes: tuple[str, ...]) -> None:
    now = time.time() // 1 + 0.25
    store = open_store(str(tmp_path / "store"))
    source = LoggedLosses(store, "orders")
    assert len(source.since(now - 60).losses) == 0
    log = PredictionLog(LogSettings(spool=tmp_path / "spool"), store)
    log.start()
    first, second = (Rule(served(digest, classes)) for digest in (CHAMPION, CHALLENGER))
    asked = [exchange([{"amount": n + 1, "order": n}], now - 30 + n, first) for n in range(4)]
    for each in asked:
        log.observed(each)
        log.observed(replace(each, loaded=Loaded("orders/2", second, "shadow")))
    assert log.stop()
    label = "yes" if classes else 2.5
    given = [{"request": each.request, "late": label} for each in asked[:3]]
    keep_labels(store, latest_form(store, "orders"), given, "a.csv", datetime.now(UTC))
    found = source.since(now - 60)
    values = np.concatenate([each.answer.values for each in asked[:3]])
    wanted = -np.log(values[:, 1]) if classes else (values - 2.5) ** 2
    for digest in (CHAMPION, CHALLENGER):
        mine = [place for place, name in enumerate(found.digests) if name == digest]
        np.testing.assert_allclose(sorted(found.losses[mine]), sorted(wanted))
    moments = [now - 30 + n for n in range(3)]
    assert sorted(found.moments) == pytest.approx(sorted(moments * 2), abs=1e-5)
    assert loss_cells(found, CHAMPION, CHALLENGER).counts() == (3, 3)
    assert len(source.since(now - 28.5).losses) == 2
