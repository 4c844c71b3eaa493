"""Making the folder that is served, in the best form that says what the model says; every form is judged."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from sluice.contract.reading import Column
from sluice.exporting.code_features import CodeFeatures
from sluice.exporting.expressions import feature_columns
from sluice.exporting.forms import (
    KINDS,
    FeatureForm,
    Features,
    ForecastForm,
    Served,
    as_given,
    code_forecast,
    query_features,
)
from sluice.exporting.graph import Graph
from sluice.exporting.graph_session import DIGEST_NOTE, GraphSession
from sluice.exporting.graph_values import IMAGE, NUMBER, TEXT
from sluice.exporting.image_forecast import ImageForecast
from sluice.exporting.images import image_shape
from sluice.exporting.model_graphs import add_model
from sluice.exporting.parity import Batches, judged
from sluice.exporting.parity import JudgedRows as JudgedRows  # who exports hands in rows
from sluice.exporting.refusals import NotExportable
from sluice.exporting.served_files import (
    FORECAST,
    Parity,
    RowField,
    RowQuery,
    ServedModel,
    Source,
    write_served_model,
)
from sluice.features.model_inputs import ModelInputs, RowWise
from sluice.features.preparations import Preparation
from sluice.modeling.model_files import Predictor, Threshold
from sluice.problems.task import Task
from sluice.storage.stores import Store

_SHOWN = 3


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class Exported:
    """What is served.

    Attributes:
        name: The registered model's.
        digest: Of its files.
        model: As `load_model` gives it.
        task: What it predicts.
        threshold: Where the positive class begins.
        inputs: What the model takes; None for a model from before models said so.
        preparation: How its rows were prepared; None where its rows are features as they are.
        source: Where its files are.
        store: Where the code and the tables are that features may rest on.
    """

    name: str
    digest: str
    model: Predictor
    task: Task
    threshold: Threshold | None
    inputs: ModelInputs | None
    preparation: Preparation | None
    source: Source | None
    store: Store = field(repr=False)

    @property
    def takes(self) -> dict[str, Any]:
        """What the model takes, NUMBER, TEXT or IMAGE by feature."""
        image = {self.task.image: IMAGE} if self.task.image else {}
        return dict.fromkeys(self.task.numeric, NUMBER) | dict.fromkeys(self.task.categorical, TEXT) | image


@dataclass(frozen=True)
class _Made:
    """What makes the features of raw rows.

    Attributes:
        form: Its name.
        features: The maker.
        fields: What a raw row holds.
        query: The query, where that makes them.
        close: Lets go of tables.
    """

    form: FeatureForm
    features: Features
    fields: tuple[RowField, ...]
    query: RowQuery | None = None
    close: Callable[[], None] = _nothing


_Way = Callable[[Exported], _Made]


@dataclass(frozen=True)
class _Built:
    """A form, ready to be judged."""

    features: FeatureForm
    forecast: ForecastForm
    served: Served
    fields: tuple[RowField, ...]
    graph: bytes | None
    query: RowQuery | None = None


def export_model(folder: Path, exported: Exported, rows: Batches) -> ServedModel:
    """Write a served model in the first form, from the fastest on, that says what the model says.

    Args:
        folder: Is there, and empty.
        exported: The model.
        rows: The rows to hold each form to, batch by batch; at least one row.

    Raises:
        NotExportable: There is no such form; the text says why not, for each.
        BadInput: The project's code or the tables behind the model are gone.
        EnvironmentFault: The store failed.
    """
    reasons: list[str] = []
    for build in _forms(exported, reasons):
        try:
            built = build()
        except NotExportable as error:
            _note(reasons, str(error))
            continue
        try:
            parity = judged(
                built.served,
                {each.name: KINDS[each.type] for each in built.fields},
                exported.model,
                exported.task,
                rows,
                graph=built.forecast == "graph",
            )
        except NotExportable as error:
            _note(reasons, f"{_words(built)}: {error}")
            continue
        finally:
            built.served.close()
        served = _description(exported, built, parity, reasons)
        write_served_model(folder, served, built.graph)
        return served
    raise NotExportable("; ".join(reasons))


def _note(reasons: list[str], reason: str) -> None:
    if reason not in reasons:
        reasons.append(reason)


def _words(built: _Built) -> str:
    makers = {"graph": "one graph", "query": "its query and", "code": "its code and", "given": "its features and"}
    return makers[built.features] + ("" if built.features == "graph" else f" the model's {built.forecast}")


def _forms(exported: Exported, reasons: list[str]) -> Iterator[Callable[[], _Built]]:
    """The forms, from the fastest on; those that need a graph only where the model has one."""
    ways: Sequence[_Way] = (_given,) if exported.preparation is None else (_by_query, _by_code)
    try:
        model = _model_graph(exported)
    except NotExportable as error:
        _note(reasons, str(error))
    else:
        yield partial(_whole, exported)
        for way in ways:
            if way is not _given:
                yield partial(_with_graph, exported, way, model)
    for way in ways:
        yield partial(_with_code, exported, way)


def _whole(exported: Exported) -> _Built:
    """One graph from raw rows on."""
    graph = Graph()
    features = _graph_features(graph, exported)
    made = _finished(graph, add_model(graph, exported.model, exported.task, features), exported)
    fields = tuple(_field(name, kind, exported) for name, kind in graph.inputs.items())
    forecast: Callable[..., Any] = GraphSession(made).forecast
    if exported.task.image:
        forecast = ImageForecast(exported.task.image, image_shape(exported.model), forecast)
    return _Built("graph", "graph", Served(as_given, forecast), fields, made)


def _model_graph(exported: Exported) -> bytes:
    """The model alone, from its features on."""
    graph = Graph()
    columns = _inputs(graph, exported)
    return _finished(graph, add_model(graph, exported.model, exported.task, columns), exported)


def _finished(graph: Graph, output: str, exported: Exported) -> bytes:
    width = max(len(exported.task.classes), 1)
    made: bytes = graph.model(output, FORECAST, width, {DIGEST_NOTE: exported.digest}).SerializeToString()
    return made


def _with_graph(exported: Exported, way: _Way, graph: bytes) -> _Built:
    made = way(exported)
    served = Served(made.features, GraphSession(graph).forecast, made.close)
    return _Built(made.form, "graph", served, made.fields, graph, made.query)


def _with_code(exported: Exported, way: _Way) -> _Built:
    if exported.source is None:
        raise NotExportable("where the model's files are is not told by its version; register it again")
    made = way(exported)
    forecast = code_forecast(exported.model, exported.task, exported.takes)
    return _Built(made.form, "code", Served(made.features, forecast, made.close), made.fields, None, made.query)


def _given(exported: Exported) -> _Made:
    fields = tuple(_field(name, kind, exported) for name, kind in exported.takes.items())
    return _Made("given", as_given, fields)


def _by_query(exported: Exported) -> _Made:
    row_wise = _row_wise(exported)
    used = {raw for name in exported.takes for raw in row_wise.features[name]}
    columns = _preparation(exported).columns
    fields = tuple(_raw_field(name, columns[name]) for name in row_wise.columns if name in used)
    query = RowQuery(table=row_wise.table, columns=row_wise.columns, sql=row_wise.sql)
    asked = query_features(query, {each.name: KINDS[each.type] for each in fields}, exported.takes)
    return _Made("query", asked.ask, fields, query)


def _by_code(exported: Exported) -> _Made:
    made = _preparation(exported)
    features = CodeFeatures(made, exported.takes, exported.store)
    later = made.known_later
    fields = tuple(_raw_field(name, made.columns[name], later=name in later) for name in features.needed)
    return _Made("code", features.make, fields, close=features.close)


def _preparation(exported: Exported) -> Preparation:
    if exported.preparation is None:
        raise NotExportable("no step prepare made its rows")
    return exported.preparation


def _graph_features(graph: Graph, exported: Exported) -> dict[str, str]:
    if exported.preparation is None:
        return _inputs(graph, exported)
    row_wise = _row_wise(exported)
    try:
        return feature_columns(graph, row_wise.sql, row_wise.columns, exported.takes)
    except NotExportable as error:
        raise NotExportable(f"its features have no graph: {error}") from None


def _inputs(graph: Graph, exported: Exported) -> dict[str, str]:
    """What the model takes, as the graph's inputs."""
    image = exported.task.image
    found = {name: graph.input(name, kind) for name, kind in exported.takes.items() if name != image}
    if image:
        shape = image_shape(exported.model)
        found[image] = graph.pixels(image, shape.height, shape.width, shape.channels)
    return found


def _row_wise(exported: Exported) -> RowWise:
    """The query that makes all features from a row."""
    row_wise = exported.inputs.row_wise if exported.inputs else None
    lacking = [name for name in exported.takes if row_wise is None or name not in row_wise.features]
    if row_wise is None or lacking:
        more = f" and {len(lacking) - _SHOWN} more" if len(lacking) > _SHOWN else ""
        raise NotExportable(
            f"the feature{'s' * (len(lacking) > 1)} {', '.join(lacking[:_SHOWN])}{more} "
            f"rest{'s' * (len(lacking) == 1)} on more than a row of its table"
        )
    return row_wise


def _description(exported: Exported, built: _Built, parity: Parity, reasons: Sequence[str]) -> ServedModel:
    task = exported.task
    return ServedModel(
        model=exported.name,
        digest=exported.digest,
        question=task.question,
        problem=task.kind,
        label=task.label,
        classes=task.classes,
        threshold=exported.threshold.value if exported.threshold else None,
        key=task.key,
        time=task.time,
        fields=built.fields,
        features=built.features,
        forecast=built.forecast,
        takes=exported.takes,
        query=built.query,
        source=exported.source,
        reasons=tuple(reasons),
        carried=_carried(built.fields, exported),
        parity=parity,
    )


def _carried(fields: Sequence[RowField], exported: Exported) -> tuple[RowField, ...]:
    """The key and the time, where the contract has them and no feature rests on them."""
    task, made = exported.task, exported.preparation
    names = dict.fromkeys((*task.key, *([task.time] if task.time else [])))
    stated = made.columns if made else {}
    if task.image:  # images come with a text that identifies them
        return tuple(RowField(name=name, type="string", nullable=True) for name in names)
    return tuple(
        RowField(name=name, type=stated[name].type, nullable=True, mask=stated[name].mask)  # type: ignore[arg-type]
        for name in names
        if name in stated and name not in {field.name for field in fields}
    )


def _field(name: str, kind: str, exported: Exported) -> RowField:
    """A field of a row that a graph or a model takes."""
    if kind == IMAGE:
        return RowField(name=name, type="image", shape=astuple(image_shape(exported.model)))
    if exported.preparation is None:
        optional = exported.inputs.optional if exported.inputs else frozenset()
        return RowField(name=name, type="float64" if kind == NUMBER else "string", nullable=name in optional)
    column: Column = exported.preparation.columns[name]
    if KINDS[column.type] != kind:
        raise NotExportable(f"column {name!r} is {column.type} in the contract and {kind} in the graph")
    return _raw_field(name, column)


def _raw_field(name: str, column: Column, *, later: bool = False) -> RowField:
    return RowField(
        name=name,
        type=column.type,
        nullable=column.nullable or later,
        range=(column.range[0], column.range[1]) if column.range else None,
        values=tuple(map(str, column.values)) if column.values else None,
        unit=column.unit or "",
        description=column.description or "",
        mask=column.mask,  # type: ignore[arg-type]  # the contract checks it
        later=later,
    )
