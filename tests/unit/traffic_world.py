"""Versions of a tiny model as a registry knows them and as a server loads them, and servers' exchanges."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sluice.core.digests import sha256_bytes
from sluice.core.errors import BadInput, EnvironmentFault
from sluice.exporting.graph import Graph
from sluice.exporting.graph_values import NUMBER, TEXT
from sluice.exporting.model_graphs import add_model
from sluice.exporting.served_files import FORECAST, Parity, RowField, ServedModel, write_served_model
from sluice.modeling.model_digests import DIGEST
from sluice.registry.mlflow_access import mlflow_module
from sluice.serving.exchange import Exchange, Judge, Loaded
from sluice.serving.graph_judge import GraphJudge
from sluice.serving.registered import Registered
from tests.unit import served_world

MODEL = "late"
LOGISTIC, TREES = "logistic-regression", "gradient-boosted-trees"
CANDIDATES = {"1": LOGISTIC, "2": TREES, "3": LOGISTIC, "4": LOGISTIC}
"""What each version is."""
ROWS = served_world.rows(80, seed=4)[0].dropna().reset_index(drop=True)


def digest_of(version: str) -> str:
    return sha256_bytes(f"version {version}".encode())


def served_folder(folder: Path, version: str) -> Path:
    """A version's served folder: a graph that takes rows as they are."""
    folder.mkdir(parents=True)
    task, graph = served_world.TASK, Graph()
    kinds = dict.fromkeys(task.numeric, NUMBER) | dict.fromkeys(task.categorical, TEXT)
    model = served_world.model(CANDIDATES[version])
    output = add_model(graph, model, task, {name: graph.input(name, kind) for name, kind in kinds.items()})
    made = graph.model(output, FORECAST, len(task.classes), {DIGEST: digest_of(version)})
    types = {NUMBER: "float64", TEXT: "string"}
    served = ServedModel(
        model=MODEL,
        digest=digest_of(version),
        question=task.question,
        problem="binary",
        label=task.label,
        classes=task.classes,
        threshold=served_world.THRESHOLD.value,
        key=task.key,
        fields=tuple(RowField(name=name, type=types[kind]) for name, kind in kinds.items()),
        parity=Parity(rows=1, on_thresholds=0, largest_difference=0.0, limit=1e-6),
    )
    write_served_model(folder, served, made.SerializeToString())
    return folder


class Served:
    """Served folders by version, opened as a server opens them; it counts and may be told to fail."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.opened, self.down = folder, [], False  # type: ignore[var-annotated]
        for version in CANDIDATES:
            served_folder(folder / version, version)

    def __call__(self, version: Registered) -> Judge:
        if self.down:
            raise EnvironmentFault("the store is down")
        self.opened.append(version.version)
        return GraphJudge(self.folder / version.version)

    def loaded(self, version: str, role: str) -> Loaded:
        return Loaded(f"{MODEL}/{version}", GraphJudge(self.folder / version), role)


def register(*versions: str) -> Any:
    """MLflow's client of a registry that has these versions, under their digests."""
    client = mlflow_module().MlflowClient()
    client.create_registered_model(MODEL)
    for version in versions:
        client.create_model_version(MODEL, "/nowhere", tags={DIGEST: digest_of(version), "sluice.models": "m" * 64})
    return client


class FakeRegistry:
    """Aliases that a test sets; it may be told to be down."""

    def __init__(self, **aliases: str) -> None:
        self.numbers, self.down, self.digests = dict(aliases), False, {}  # type: ignore[var-annotated]

    def aliases(self, model: str) -> dict[str, str]:
        if self.down:
            raise EnvironmentFault("MLflow failed: connection refused")
        assert model == MODEL
        return dict(self.numbers)

    def version(self, model: str, number: str) -> Registered:
        if number not in CANDIDATES:
            raise BadInput(f"MLflow has no version {model}/{number}")
        return Registered(model, number, self.digests.get(number, digest_of(number)))


def raw(rows: Sequence[int]) -> list[dict[str, Any]]:
    """Rows as a caller sends them."""
    found = ROWS.iloc[list(rows)].astype(object).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in found]


def exchange(
    loaded: Loaded, rows: Sequence[int] = (0,), request: str = "r", subject: str = "", **given: Any
) -> Exchange:
    """One request that a version answered."""
    columns = loaded.judge.schema.columns(raw(rows))
    facts: Mapping[str, Any] = {"moment": 1_700_000_000.0, "seconds": 0.001} | given
    answer = loaded.judge.judge(columns)
    return Exchange(request, loaded=loaded, columns=columns, answer=answer, subject=subject, **facts)


@contextmanager
def running(*parts: Any) -> Iterator[None]:
    for part in parts:
        part.start()
    try:
        yield
    finally:
        for part in reversed(parts):
            part.stop()
