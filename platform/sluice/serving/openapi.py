"""The description of a server for programs: OpenAPI 3.1, its schemas made from the contract's fields.

Source: https://spec.openapis.org/oas/v3.1.0, whose schemas are JSON Schema 2020-12.
"""

import base64
from typing import Any

from sluice.exporting.served_files import RowField, ServedModel
from sluice.serving.arrow_protocol import STREAM
from sluice.serving.feedback import MOST_LABELS
from sluice.serving.field_readers import EXACT
from sluice.serving.limits import Limits
from sluice.serving.png_protocol import PNG, image_field
from sluice.serving.protocols import JSON

_TYPES: dict[str, dict[str, Any]] = {
    "string": {"type": "string"},
    "int64": {"type": "integer", "minimum": -EXACT, "maximum": EXACT},
    "float64": {"type": "number"},
    "bool": {"type": "boolean"},
    "timestamp": {"type": "string", "format": "date-time"},
    "date": {"type": "string", "format": "date"},
    "image": {"type": "string", "contentEncoding": "base64", "contentMediaType": "image/png"},
}
_ERRORS = {
    "400": "The body is none of this protocol's.",
    "401": "No token, or one that is not known.",
    "413": "The body, or the number of its rows, is beyond the limits.",
    "422": "Rows break the contract: `problems` names row, field and what is wrong.",
    "503": "As many requests as the server may answer at once; `Retry-After` says when to try again.",
}


_LATER = "Known only after the row's moment: leave it out."


def row_schema(served: ServedModel) -> dict[str, Any]:
    """What a row holds, as JSON Schema; other columns are passed over, so they are allowed."""
    return {
        "type": "object",
        "properties": {field.name: _field_schema(field) for field in served.fields},
        "required": [field.name for field in served.fields if not field.nullable],
    }


def _field_schema(field: RowField) -> dict[str, Any]:
    found = dict(_TYPES[field.type])
    if field.range:
        whole = field.type == "int64"
        low, high = (int(bound) if whole and bound.is_integer() else bound for bound in field.range)
        found |= {"minimum": low, "maximum": high}
    if field.values is not None:
        values: list[Any] = list(field.values)
        if field.type in ("int64", "float64"):
            values = [int(value) if field.type == "int64" else float(value) for value in values]
        found["enum"] = values
    words = [field.description, f"Unit: {field.unit}." if field.unit else "", _LATER if field.later else ""]
    if field.shape is not None:
        width, height, channels = field.shape
        words.append(f"{width} x {height} pixels, {'grey' if channels == 1 else 'red, green and blue'}, 8 bits each.")
    if any(words):
        found["description"] = " ".join(word for word in words if word)
    if not field.nullable:
        return found
    if "enum" in found:
        found["enum"] = [*found["enum"], None]
    return found | {"type": [found["type"], "null"]}


def example_row(served: ServedModel) -> dict[str, Any]:
    """A row that the contract allows: what it names first, or the middle of a range; nothing that comes later."""
    return {field.name: _example(field) for field in served.fields if not field.later}


def _example(field: RowField) -> Any:  # noqa: ANN401 - JSON
    if field.values:
        first = field.values[0]
        return first if field.type == "string" else float(first) if field.type == "float64" else int(first)
    if field.shape is not None:
        from sluice.features.png_images import ImageShape, blank_png

        return base64.b64encode(blank_png(ImageShape(*field.shape))).decode()
    if field.type in ("int64", "float64"):
        low, high = field.range or (0.0, 2.0)
        return round((low + high) / 2) if field.type == "int64" else float(f"{(low + high) / 2:.6g}")
    return {"string": "a", "bool": True, "date": "2026-03-01"}.get(field.type, "2026-03-01T14:00:00Z")


def openapi(served: ServedModel, name: str, limits: Limits, *, tokens: bool, feedback: bool = False) -> dict[str, Any]:
    """The document.

    Args:
        served: What answers.
        name: `MODEL/version`.
        limits: Of requests.
        tokens: Whether they are asked for.
        feedback: Whether labels are taken.
    """
    model = name.rpartition("/")[0] or name
    rows = {"type": "array", "items": {"$ref": "#/components/schemas/Row"}, "minItems": 1, "maxItems": limits.rows}
    plain = _object({"rows": rows}, ["rows"])
    body: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": name, "version": served.digest[:12], "summary": served.question},
        "paths": {
            "/v1/predict": {"post": _predict(plain, served)},
            "/v1/model": {"get": _get("What answers: its fields, digest and evidence.")},
            "/invocations": {"post": _invocations(rows)},
            f"/v2/models/{model}": {"get": _get("The model's tensors, by the Open Inference Protocol.")},
            f"/v2/models/{model}/infer": {"post": _infer()},
            "/healthz": {"get": _open("The process is alive.")},
            "/readyz": {"get": _open("A version is loaded and warm, and the server does not end.")},
        },
        "components": {
            "schemas": {
                "Row": row_schema(served) | {"examples": [example_row(served)]},
                "Forecast": _forecast(served),
                "Answer": _answer(),
                "Error": _error(),
            }
        },
    }
    if feedback:
        body["paths"]["/v1/feedback"] = {"post": _feedback(served)}
    if tokens:
        body["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        body["security"] = [{"token": []}]
    return body


def _object(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _forecast(served: ServedModel) -> dict[str, Any]:
    if not served.classes:
        return _object({"prediction": {"type": "number", "description": f"{served.label}"}}, ["prediction"])
    classes = list(served.classes)
    share = {"type": "number", "minimum": 0, "maximum": 1}
    return _object(
        {
            "prediction": {"type": "string", "enum": classes},
            "probabilities": _object(dict.fromkeys(classes, share), classes),
        },
        ["prediction", "probabilities"],
    )


def _answer() -> dict[str, Any]:
    forecasts = {"type": "array", "items": {"$ref": "#/components/schemas/Forecast"}}
    text = {"type": "string"}
    passed_over = {"type": "array", "items": text, "description": "Columns that were sent and the model does not take."}
    properties = {"model": text, "digest": text, "request": text, "forecasts": forecasts, "passed_over": passed_over}
    return _object(properties, ["model", "digest", "request", "forecasts"])


def _error() -> dict[str, Any]:
    text, number = {"type": "string"}, {"type": ["integer", "null"]}
    problem = _object({"row": number, "field": text, "kind": text, "message": text}, ["field", "kind", "message"])
    properties = {
        "detail": text,
        "request": text,
        "model": text,
        "digest": text,
        "problems": {"type": "array", "items": problem},
        "count": {"type": "integer"},
    }
    return _object(properties, ["detail", "request"])


def _responses(media: str, schema: dict[str, Any]) -> dict[str, Any]:
    good = {"description": "Forecasts, in the order of the rows.", "content": {media: {"schema": schema}}}
    bad = {
        status: {"description": words, "content": {JSON: {"schema": {"$ref": "#/components/schemas/Error"}}}}
        for status, words in _ERRORS.items()
    }
    return {"200": good, **bad}


def _predict(plain: dict[str, Any], served: ServedModel) -> dict[str, Any]:
    responses = _responses(JSON, {"$ref": "#/components/schemas/Answer"})
    responses["200"]["content"][STREAM] = {}
    taken = {JSON: {"schema": plain, "example": {"rows": [example_row(served)]}}, STREAM: {}}
    if image_field(served):
        taken[PNG] = {}
    return {
        "summary": served.question,
        "description": "Rows of the contract in, forecasts out; or a table in Arrow's IPC stream for one.",
        "requestBody": {"required": True, "content": taken},
        "responses": responses,
    }


def _invocations(rows: dict[str, Any]) -> dict[str, Any]:
    records = {"type": "object", "properties": {"dataframe_records": rows, "params": {"type": "object"}}}
    answer = {"type": "object", "properties": {"predictions": {"type": "array", "items": {"type": "object"}}}}
    return {
        "summary": "MLflow's scoring protocol.",
        "requestBody": {"required": True, "content": {JSON: {"schema": records}, "text/csv": {}}},
        "responses": {"200": _responses(JSON, answer)["200"]},
    }


def _feedback(served: ServedModel) -> dict[str, Any]:
    label: dict[str, Any] = {"type": "string", "enum": list(served.classes)} if served.classes else {"type": "number"}
    text: dict[str, Any] = {"type": "string"}
    known = {
        "request": text | {"description": "The request that was answered."},
        "row": {"type": "integer", "minimum": 0, "description": "The row's place in it, from 0."},
        served.label: label,
    }
    labels = {
        "type": "array",
        "minItems": 1,
        "maxItems": MOST_LABELS,
        "items": {"type": "object", "properties": known, "required": [served.label]},
        "description": f"Each names its row by request and row, or by the key: {', '.join(served.key) or 'none here'}.",
    }
    arrived = text | {"format": "date-time", "description": "When the labels became known; left out for now."}
    answer = {
        "model": text,
        "labels": {"type": "integer", "description": "How many were kept."},
        "without": {"type": "integer", "description": "How many rows had none."},
        "by": {"type": "array", "items": text, "description": "By which columns they find their rows."},
        "request": text,
    }
    example = {"labels": [{"request": "0198…", "row": 0, served.label: served.classes[-1] if served.classes else 1.5}]}
    schema = _object({"labels": labels, "arrived": arrived}, ["labels"])
    responses = _responses(JSON, _object(answer, list(answer)))
    responses["200"]["description"] = "The labels are kept."
    return {
        "summary": f"What came of it: labels ({served.label}) of rows that were forecast, late, in parts or corrected.",
        "requestBody": {"required": True, "content": {JSON: {"schema": schema, "example": example}}},
        "responses": responses,
    }


def _infer() -> dict[str, Any]:
    text = {"type": "string"}
    tensor = {
        "type": "object",
        "properties": {
            "name": text,
            "shape": {"type": "array", "items": {"type": "integer"}},
            "datatype": text,
            "data": {"type": "array"},
        },
        "required": ["name", "shape", "datatype", "data"],
    }
    asked = {"type": "object", "properties": {"inputs": {"type": "array", "items": tensor}}, "required": ["inputs"]}
    answer = {"type": "object", "properties": {"outputs": {"type": "array", "items": tensor}}}
    return {
        "summary": "The Open Inference Protocol, version 2: each column a tensor.",
        "requestBody": {"required": True, "content": {JSON: {"schema": asked}}},
        "responses": {"200": _responses(JSON, answer)["200"]},
    }


def _get(summary: str) -> dict[str, Any]:
    return {"summary": summary, "responses": {"200": {"description": "JSON.", "content": {JSON: {}}}}}


def _open(summary: str) -> dict[str, Any]:
    return _get(summary) | {"security": []}
