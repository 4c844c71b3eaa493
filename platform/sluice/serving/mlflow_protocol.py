"""MLflow's scoring protocol, so that its clients need not know that another server answers.

Source: https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally, "Inference Server Specification". Differences
on purpose: rows that break the contract are answered with 422, naming row and field, instead of 400; a model answers
what its registered form would, but does not know the parameter `report`.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from sluice.serving.exchange import Answer, Loaded
from sluice.serving.heads import Head
from sluice.serving.limits import Limits
from sluice.serving.protocols import JSON, Answered, Asked, check_count, encode, read_json
from sluice.serving.refusals import Refusal

FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")
_FORM = '{"dataframe_records": [{…}]}'
_DECISION, _REPORT, _PREDICTION = "decision", "report", "prediction"
_CODES = {400: "BAD_REQUEST", 401: "UNAUTHENTICATED", 404: "RESOURCE_DOES_NOT_EXIST", 422: "INVALID_PARAMETER_VALUE"}
_MISSING = frozenset(("", "NA", "N/A", "NaN", "nan", "<NA>", "null", "NULL", "None"))
_TRUTHS = {"true": True, "false": False}


class MlflowProtocol:
    """`POST /invocations`."""

    media_type, quick = JSON, True

    def read(self, body: bytes, head: Head, limits: Limits, loaded: Loaded) -> Asked:
        """See `Wire`."""
        if head.media_type == "text/csv":
            return _csv(body, limits, loaded.judge.schema.types)
        if head.media_type not in (JSON, ""):
            raise Refusal(415, f"/invocations takes {JSON} or text/csv, not {head.media_type[:80]!r}")
        found = read_json(body, limits, _FORM)
        given = [form for form in FORMS if form in found]
        others = sorted(found.keys() - {*FORMS, "params"})[:3]
        if len(given) != 1 or others:
            wrong = f"and not {', '.join(map(repr, others))}" if others else f"not {len(given)} of them"
            raise Refusal(400, f"the body must have one of {', '.join(FORMS)}, and it may have params, {wrong}")
        count, rows, columns = _TABLES[given[0]](found[given[0]])
        check_count(count, limits)
        return Asked(count, rows, columns, _decides(found.get("params")))

    def write(self, asked: Asked, answered: Answered) -> bytes:
        """See `Wire`."""
        classes = answered.loaded.judge.served.classes
        if asked.more and not classes:
            raise Refusal(400, "params asks for a decision, and this model forecasts a number; leave it out")
        return encode({"predictions": predictions(answered.answer, classes, decides=bool(asked.more))})

    def refused(self, refusal: Refusal, request: str, loaded: Loaded | None) -> Mapping[str, Any]:  # noqa: ARG002 - Wire
        """See `Wire`."""
        code = _CODES.get(refusal.status, "INTERNAL_ERROR" if refusal.status >= 500 else "BAD_REQUEST")
        body: dict[str, Any] = {"error_code": code, "message": refusal.detail}
        return body | ({"problems": refusal.problems} if refusal.problems else {})


def predictions(answer: Answer, classes: tuple[str, ...], *, decides: bool) -> list[dict[str, Any]]:
    """Rows of what the registered model's `predict` gives: a column for each class, and `decision` if wanted."""
    if answer.called is None:
        return [{_PREDICTION: value} for value in answer.values.tolist()]
    rows = [dict(zip(classes, row, strict=True)) for row in answer.values.tolist()]
    if decides:
        name = _DECISION
        while name in classes:  # as the registered model names it, see `sluice.registry.pyfunc_loader.added_column`
            name += "_"
        for row, called in zip(rows, answer.called.tolist(), strict=True):
            row[name] = classes[called]
    return rows


def _csv(body: bytes, limits: Limits, types: Mapping[str, str]) -> Asked:
    """A CSV with a line of names above its rows; its texts are read by the type of their field."""
    try:
        lines = list(csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise Refusal(400, f"the body is not CSV in UTF-8 with a line of names above its rows: {error}") from None
    names, rows = (lines[0], [line for line in lines[1:] if line]) if lines else ([], [])
    check_count(len(rows), limits)
    _check_names(names)
    for place, row in enumerate(rows):
        if len(row) != len(names):
            raise Refusal(400, f"row {place} of the CSV has {len(row)} cells, and {len(names)} have names")
    columns = {name: [_cell(row[place], types.get(name)) for row in rows] for place, name in enumerate(names)}
    return Asked(len(rows), (), columns, False)


_Table = tuple[int, Sequence[Mapping[str, Any]], Mapping[str, Sequence[Any]] | None]


def _split(given: Any) -> _Table:  # noqa: ANN401 - JSON
    if not isinstance(given, dict) or given.keys() - {"columns", "data", "index"}:
        raise Refusal(400, "dataframe_split must be an object with columns and data, and index if you like")
    names, rows = given.get("columns"), given.get("data")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise Refusal(400, "dataframe_split.columns must be a list of names")
    _check_names(names)
    if not isinstance(rows, list):
        raise Refusal(400, "dataframe_split.data must be a list of rows")
    for place, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != len(names):
            raise Refusal(400, f"dataframe_split.data[{place}] must be a list of {len(names)} values, one a column")
    return len(rows), (), {name: [row[place] for row in rows] for place, name in enumerate(names)}


def _records(given: Any, form: str = "dataframe_records") -> _Table:  # noqa: ANN401 - JSON
    if not isinstance(given, list) or not all(isinstance(row, dict) for row in given):
        raise Refusal(400, f"{form} must be a list of rows, each an object with values by column name")
    return len(given), given, None


def _inputs(given: Any) -> _Table:  # noqa: ANN401 - JSON
    if isinstance(given, list):
        return _records(given, "inputs")
    if not isinstance(given, dict):
        raise Refusal(400, "inputs must be an object with a list of values for each column name")
    if not any(isinstance(values, list) for values in given.values()):
        return _records([given], "inputs")
    columns = {name: values if isinstance(values, list) else [values] for name, values in given.items()}
    counts = {len(values) for values in columns.values()}
    if len(counts) != 1:
        raise Refusal(400, f"the columns of inputs have different lengths: {', '.join(map(str, sorted(counts)[:5]))}")
    return counts.pop(), (), columns


_TABLES = {
    "dataframe_split": _split,
    "dataframe_records": _records,
    "instances": lambda given: _records(given, "instances"),
    "inputs": _inputs,
}


def _check_names(names: Sequence[str]) -> None:
    """Of two columns with the same name one would be passed over, and nobody would know which."""
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise Refusal(400, f"the column {twice[:80]!r} is there twice")


def _decides(params: Any) -> bool:  # noqa: ANN401 - JSON
    if params is None:
        return False
    if not isinstance(params, dict):
        raise Refusal(400, "params must be an object")
    for name in (_DECISION, _REPORT):
        if not isinstance(params.get(name, False), bool):
            raise Refusal(400, f"params.{name} must be true or false")
    if params.get(_REPORT):
        raise Refusal(400, "a served model does not report values that training never saw; leave params.report out")
    return bool(params.get(_DECISION, False))


def _cell(text: str, kind: str | None) -> Any:  # noqa: ANN401 - any of the contract's types
    """A cell by its field's type; what is none of that type stays a text, so that it is told as it stands there."""
    if not text:
        return None
    if kind in ("int64", "float64"):
        return None if text in _MISSING else _number(text)
    if kind == "bool":
        return None if text in _MISSING else _TRUTHS.get(text.lower(), text)
    return text


def _number(text: str) -> Any:  # noqa: ANN401 - int, float or the text
    try:
        return int(text) if len(text) < 30 and text.lstrip("+-").isdecimal() and text.isascii() else float(text)
    except ValueError:
        return text
