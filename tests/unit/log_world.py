"""A prediction log of a registered model, written by the server's own judge and log, at moments that a test chooses."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from sluice.predictions.labels import keep_labels
from sluice.predictions.reader import latest_form
from sluice.predictions.request_ids import new_request_id
from sluice.running.served_versions import served_version
from sluice.serving.exchange import Exchange, Loaded
from sluice.serving.judges import open_judge
from sluice.serving.prediction_log import LogSettings, PredictionLog
from sluice.serving.row_schema import RowSchema
from sluice.storage.locations import default_store


def answered(model: str, frame: pd.DataFrame, moments: Sequence[datetime], spool: Path, role: str = "champion") -> None:
    """Log rows as a server would that was asked for each at its moment."""
    version, folder = served_version(model)
    judge = open_judge(folder)
    loaded = Loaded(f"{version.model}/{version.version}", judge, role)
    log = PredictionLog(LogSettings(spool=spool), default_store())
    log.start()
    carried = RowSchema(judge.served.carried)
    for row, moment in zip(rows_of(frame), moments, strict=True):
        columns = judge.schema.columns([row])
        exchange = Exchange(
            new_request_id(), moment.timestamp(), loaded, columns | carried.columns([row]), judge.judge(columns), 0.002
        )
        log.observed(exchange)
    assert log.stop()
    judge.close()


def labels(model: str, frame: pd.DataFrame, arrived: datetime) -> None:
    """Labels that came at a moment."""
    store = default_store()
    keep_labels(store, latest_form(store, model), rows_of(frame), "labels", arrived)


def rows_of(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON has them: what is missing is null."""
    told = frame.astype(object).where(frame.notna(), None)
    return [{str(name): value for name, value in row.items()} for row in told.to_dict("records")]
