"""The record of a window as a dataset of the store: its numbers as rows, all of it in the manifest."""

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from sluice.artifacts.bundles import Bundle, workspace
from sluice.artifacts.producer import producer
from sluice.core.errors import BadInput
from sluice.core.words import near
from sluice.engine.parquet import write_parquet
from sluice.monitoring.records import WatchSettings, WindowRecord
from sluice.problems.task import REGRESSION, Task
from sluice.storage.stores import Store

METRICS = {
    "binary": ("log_loss", "brier", "accuracy", "precision", "recall", "f1", "roc_auc"),
    "multiclass": ("log_loss", "brier", "accuracy", "precision", "recall", "f1", "roc_auc"),
    REGRESSION: ("mae", "rmse"),
}
_DEFAULT = {"binary": "log_loss", "multiclass": "log_loss", REGRESSION: "mae"}
_SCHEMA = pa.schema(
    [
        ("window", pa.string()),
        ("how", pa.string()),
        ("state", pa.string()),
        ("metric", pa.string()),
        ("value", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("reference", pa.float64()),
        ("worse", pa.float64()),
    ]
)
NO_ROWS = "No row was logged in this window: nobody asked, or the log was away. An empty window is not a calm one."


def settled(settings: WatchSettings, problem: str) -> WatchSettings:
    """The settings with the metric that alarms are about, which the problem decides where nobody did.

    Raises:
        BadInput: The metric is not estimated for this problem.
    """
    known = METRICS.get(problem, ("log_loss",))
    metric = settings.metric or _DEFAULT.get(problem, "log_loss")
    if metric not in known:
        raise BadInput(
            f"--metric {metric!r} is not estimated for this problem{near(metric, known)}; there are {', '.join(known)}"
        )
    return settings.model_copy(update={"metric": metric})


def problem_of(task: Task) -> str:
    """`binary`, `multiclass` or `regression`, of a model's task."""
    if task.regression:
        return REGRESSION
    return "binary" if len(task.classes) == 2 else "multiclass"


def empty_window(name: str, reference_rows: int = 0) -> WindowRecord:
    """The record of a window in which nobody asked."""
    return WindowRecord(
        name=name,
        rows=0,
        reference_rows=reference_rows,
        by_labels=None,
        estimated=None,
        slices=(),
        faults=(),
        outputs=(),
        inputs=(),
        evidence={},
        alarms=(),
        notes=(NO_ROWS,),
    )


def publish_window(
    store: Store,
    window: WindowRecord,
    settings: WatchSettings,
    model: str,
    reference: str,
    parents: tuple[str, ...],
    details: Mapping[str, Any] | None = None,
) -> Bundle:
    """Publish the record of a window.

    Args:
        store: Where to.
        window: The record.
        settings: How it was judged.
        model: `MODEL/version`, or empty.
        reference: What it was held to, in words.
        parents: Ids of the published folders that it rests on.
        details: What else it rests on, such as files of a log.

    Raises:
        EnvironmentFault: The store failed.
    """
    from sluice.engine.datasets import publish_tables  # late: a watch of files publishes nothing by default

    with workspace(store) as folder:
        batch = pa.Table.from_pylist(_flat(window), schema=_SCHEMA)
        part = write_parquet(batch.to_batches(), _SCHEMA, folder / "metrics" / "part-00000.parquet")
        made = producer("monitor", {"settings": settings.model_dump(mode="json"), "window": window.name})
        told = {"monitoring": json.loads(window.model_dump_json(by_alias=True)), "model": model, "reference": reference}
        return publish_tables(
            store, folder, {"metrics": [part]}, made, parents=parents, details=told | dict(details or {})
        )


def _flat(window: WindowRecord) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for found in (window.by_labels, window.estimated):
        if found is None:
            continue
        base = {"window": window.name, "how": found.how, "state": found.state}
        numbers = ("value", "low", "high", "reference", "worse")
        rows += [
            base | {"metric": name} | {each: getattr(metric, each) for each in numbers}
            for name, metric in found.metrics.items()
        ]
        if not found.metrics:
            rows.append(base | {"metric": None})
    return rows or [{"window": window.name, "how": "none", "state": "nothing known"}]
