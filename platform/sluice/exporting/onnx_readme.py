"""The README of an exported folder: what a row holds, and ten lines of Python that ask it."""

from collections.abc import Mapping
from typing import Any

from sluice.exporting.forms import KINDS
from sluice.exporting.served_files import DESCRIPTION, GRAPH, RowField, ServedModel

README = "README.md"
_MISSING = {"number": "`NaN`", "text": '`"\\uffff"`', "moment": "`-2**63`"}
_TYPES = {
    "number": "float64",
    "text": "string",
    "moment": "int64, microseconds since 1970 in UTC",
    "image": "uint8, decoded pixels",
}


def readme(served: ServedModel) -> str:
    """Markdown; the example in it runs in the folder."""
    inputs = _inputs(served)
    parity = served.parity
    near = (
        f"On {parity.rows:,} test rows the forecasts are within {parity.largest_difference:.1e} of the judged model's."
    )
    lines = [
        f"# {served.model}",
        "",
        served.question,
        "",
        _how(served),
        "",
        f"Digest of the model: `{served.digest}`. {near}",
        "",
        "## What the graph takes",
        "",
        _shapes(served),
        "",
        "| input | type | missing | holds |",
        "|---|---|---|---|",
        *(f"| `in:{each.name}` | {_TYPES[kind]} | {_MISSING[kind] if each.nullable else 'never'} | {_holds(each)} |"
          for each, kind in inputs),
        "",
        f"It gives `forecast`, float64: {_gives(served)}.",
        "",
        "```python",
        *_example(served, inputs),
        "```",
        "",
        "Set `ORT_DISABLE_TELEMETRY=1`: onnxruntime reports its use to its makers otherwise, from release 1.32 on.",
        "",
    ]  # fmt: skip
    return "\n".join(lines)


def _inputs(served: ServedModel) -> list[tuple[RowField, str]]:
    if served.features in ("graph", "given"):
        return [(each, KINDS[each.type]) for each in served.fields]
    kinds = {"number": "float64", "text": "string"}
    return [(RowField(name=name, type=kinds[kind], nullable=True), kind) for name, kind in served.takes.items()]


def _shapes(served: ServedModel) -> str:
    images = [each.shape for each in served.fields if each.shape]
    if not images:
        return "Each input has the shape (rows,)."
    width, height, channels = images[0]
    return (
        f"The input has the shape (rows, {height}, {width}, {channels}): images of {width} x {height} pixels, 0 "
        f"(black) to 255, {'grey' if channels == 1 else 'red, green and blue'}, as Pillow decodes an 8-bit PNG file. "
        "`sluice serve` takes the files themselves."
    )


def _how(served: ServedModel) -> str:
    if any(each.shape for each in served.fields):
        return f"`{GRAPH}` takes pixels, and gives forecasts. `{DESCRIPTION}` says the same as this file, for programs."
    if served.features in ("graph", "given"):
        return (
            f"`{GRAPH}` takes raw rows, and gives forecasts. `{DESCRIPTION}` says the same as this file, for programs."
        )
    maker = "the query in `serving.json`, by DuckDB" if served.features == "query" else "the project's code"
    return (
        f"`{GRAPH}` takes *features* and gives forecasts. {maker[0].upper()}{maker[1:]} makes the features from raw "
        "rows: `sluice serve` and `sluice predict` do so. Why it is no graph from raw rows on: "
        f"{'; '.join(served.reasons)}."
    )


def _holds(field: RowField) -> str:
    parts = [", ".join(field.values[:10]) if field.values else ""]
    parts += [f"{field.range[0]:g} to {field.range[1]:g}" if field.range else "", field.unit, field.description]
    return "; ".join(filter(None, parts)).replace("|", "\\|").replace("\n", " ")


def _gives(served: ServedModel) -> str:
    if not served.classes:
        return f"shape (rows, 1), {served.label}"
    called = ""
    if served.threshold is not None:
        called = f"; {served.classes[1]} is called from {served.threshold:.6g} on"
    return f"shape (rows, {len(served.classes)}), the probabilities of {', '.join(served.classes)}{called}"


def _example(served: ServedModel, inputs: list[tuple[RowField, str]]) -> list[str]:
    types = {"number": "np.float64", "text": "object", "moment": "np.int64"}
    lines = [
        "import numpy as np",
        "import onnxruntime",
        "",
        f"session = onnxruntime.InferenceSession({GRAPH!r})",
        "row = {",
    ]
    lines += [f"    {f'in:{each.name}'!r}: {_array(each, kind, types)}," for each, kind in inputs]
    shown = f"dict(zip({list(served.classes)!r}, forecast[0]))" if served.classes else "forecast[0, 0]"
    return [*lines, "}", "forecast = session.run(None, row)[0]", f"print({shown})"]


def _array(field: RowField, kind: str, types: Mapping[str, str]) -> str:
    if field.shape is None:
        return f"np.array([{_value(field, kind)!r}], {types[kind]})"
    width, height, channels = field.shape
    return f"np.zeros((1, {height}, {width}, {channels}), np.uint8)"


def _value(field: RowField, kind: str) -> Any:  # noqa: ANN401 - a number or a text
    if kind == "text":
        return field.values[0] if field.values else ""
    if kind == "moment":
        return 1_772_373_600_000_000
    if field.type == "bool":
        return 1.0
    if field.values:
        return float(field.values[0])
    if not field.range:
        return 0.0
    middle = (field.range[0] + field.range[1]) / 2
    return float(round(middle)) if field.type == "int64" else middle
