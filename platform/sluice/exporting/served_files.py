"""A model as a folder that a server, a browser or a batch runs: one graph, and what must be known to ask it.

`serving.json` says what a row is, where the positive class begins, how features and forecasts come about, and by what
evidence they are those of the judged model; `model.onnx` is the graph. Where both are in the graph nothing else is
needed: neither the training's code nor its libraries. Features that no graph can say are made by the model's own query
in DuckDB, or by the project's code; a model that has no graph is read from the store.
"""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sluice.core.errors import BadInput
from sluice.core.json_documents import read_json

DESCRIPTION, GRAPH = "serving.json", "model.onnx"
FORECAST = "forecast"
"""The graph's output: probabilities, shape (rows, classes), or numbers, shape (rows, 1)."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class RowField(_Strict):
    """A raw column of a row, as the lake's contract has it.

    Attributes:
        name: The column.
        type: `string`, `int64`, `float64`, `bool`, `timestamp` or `date`; or `image`, a PNG file.
        nullable: Whether a value may be missing, or the column absent.
        range: Least and greatest value, inclusive.
        values: The values allowed, as texts.
        unit: E.g. `minutes`.
        description: One sentence.
        mask: How the contract has its values logged: `hash`, `drop`, or None for as they are.
        later: Whether it is known only after the row's moment, so that who asks has none. A project's code that looks
            at earlier rows needs the column; in what is asked it may be absent.
        shape: Of an image: width and height in pixels, and channels (1 is grey, 3 is red, green and blue).
    """

    name: str
    type: str
    nullable: bool = False
    range: tuple[float, float] | None = None
    values: tuple[str, ...] | None = None
    unit: str = ""
    description: str = ""
    mask: Literal["hash", "drop"] | None = None
    later: bool = False
    shape: tuple[int, int, int] | None = None


class RowQuery(_Strict):
    """The query that makes features of a row.

    Attributes:
        table: What it calls the rows.
        columns: All of their columns, with types in DuckDB's words.
        sql: A SELECT of DuckDB's: one result a row.
    """

    table: str
    columns: dict[str, str]
    sql: str


class Source(_Strict):
    """Where the model's own files are.

    Attributes:
        models: The id of the folder of models, in the store.
        candidate: The model's folder in it.
    """

    models: str
    candidate: str


class Parity(_Strict):
    """How near these forecasts are to those of the model that was judged.

    Attributes:
        rows: How many rows both were asked about: all test rows, raw here and prepared there.
        on_thresholds: How many of these had a number on a threshold of the model's trees.
        largest_difference: Of any probability; for numbers relative to their size.
        limit: What it may be.
    """

    rows: int
    on_thresholds: int
    largest_difference: float
    limit: float


class ServedModel(_Strict):
    """What a server must know of a model.

    Attributes:
        schema_version: Of this form.
        model: The registered model's name.
        digest: SHA-256 of the registered files that the graph stands for.
        question: What it answers.
        problem: `binary`, `multiclass` or `regression`.
        label: The column that it forecasts.
        classes: By place in the forecast; none for a number.
        threshold: From which probability of the second class on it is called; None for several classes and numbers.
        key: Columns that identify a row.
        time: The column with a row's moment.
        fields: What a row holds.
        features: Who makes the features: the `graph`, the `query`, the project's `code`; `given` where rows hold them.
        forecast: Who forecasts: the `graph`, or the model's own `code`.
        takes: What the model takes, in its order: `number`, `text` or `image` by feature.
        query: Makes the features, where it does.
        source: Where the model's own files are; None where nobody knows.
        reasons: Why it is served in no better form, one sentence each.
        carried: What a row may hold beside: columns that identify or date it and that the graph does not take. Whoever
            logs rows keeps them, so that labels find their rows later.
        parity: The evidence.
    """

    schema_version: Annotated[Literal[1], Field(alias="schema")] = 1
    model: str
    digest: str
    question: str
    problem: str
    label: str
    classes: tuple[str, ...] = ()
    threshold: float | None = None
    key: tuple[str, ...] = ()
    time: str | None = None
    fields: tuple[RowField, ...]
    features: Literal["graph", "query", "code", "given"] = "graph"
    forecast: Literal["graph", "code"] = "graph"
    takes: dict[str, Literal["number", "text", "image"]] = {}
    query: RowQuery | None = None
    source: Source | None = None
    reasons: tuple[str, ...] = ()
    carried: tuple[RowField, ...] = ()
    parity: Parity

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, populate_by_name=True)


def write_served_model(folder: Path, served: ServedModel, graph: bytes | None) -> None:
    """Write a served model into a folder that is there; the same model gives the same bytes."""
    body = served.model_dump(mode="json", by_alias=True, exclude_none=True)
    if graph is not None:
        (folder / GRAPH).write_bytes(graph)
    text = json.dumps(body, indent=1, ensure_ascii=False, allow_nan=False)
    (folder / DESCRIPTION).write_text(text + "\n", encoding="utf-8")


def read_served_model(folder: Path) -> ServedModel:
    """What a folder holds.

    Raises:
        BadInput: It holds no served model, or one of another Sluice.
    """
    path = folder / DESCRIPTION
    try:
        body: Any = read_json(path)
        return ServedModel.model_validate(body)
    except FileNotFoundError:
        raise BadInput(f"{path} is missing, so {folder} holds no served model; make one with `sluice export`") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise BadInput(f"{path}: {place}: {first['msg']}; make it again with `sluice export`") from None
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput(f"{path} cannot be read ({error}); make it again with `sluice export`") from None
