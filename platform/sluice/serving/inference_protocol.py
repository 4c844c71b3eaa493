"""The Open Inference Protocol, version 2, by HTTP and JSON: each column of a row is a tensor of shape (rows,).

Source: https://github.com/kserve/open-inference-protocol, specification/protocol/inference_rest.md. The extension for
binary tensors is not spoken; `null` in a tensor is a missing value, beyond what the specification says.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sluice.serving.exchange import Answer, Loaded
from sluice.serving.field_readers import shown
from sluice.serving.heads import Head
from sluice.serving.limits import Limits
from sluice.serving.protocols import JSON, Answered, Asked, check_count, encode, read_json
from sluice.serving.refusals import Refusal

EXTENSIONS: tuple[str, ...] = ()
PLATFORM = "onnxruntime_onnx"
PREDICTION, PROBABILITIES = "prediction", "probabilities"
_FORM = '{"inputs": [{"name": …, "shape": [1], "datatype": …, "data": […]}]}'
_PATH = re.compile(r"/v2/models/(?P<model>[^/]+)(?:/versions/(?P<version>[^/]+))?(?P<end>/ready|/infer)?")
_TYPES = {"int64": "INT64", "float64": "FP64", "bool": "BOOL"} | dict.fromkeys(
    ("string", "timestamp", "date", "image"), "BYTES"
)
_WHOLE = {f"{sign}INT{bits}": np.iinfo(f"{sign.lower()}int{bits}") for sign in ("", "U") for bits in (8, 16, 32, 64)}
_ROUNDED: dict[str, type[np.float16] | type[np.float32]] = {"FP16": np.float16, "FP32": np.float32}
DATATYPES = ("BOOL", *_WHOLE, *_ROUNDED, "FP64", "BYTES")


def parts(path: str) -> tuple[str, str, str] | None:
    """The model, the version (or empty) and the end (`/ready`, `/infer` or empty) of a path; None for another path."""
    match = _PATH.fullmatch(path)
    return (match["model"], match["version"] or "", match["end"] or "") if match else None


def server_metadata(version: str) -> dict[str, Any]:
    """`GET /v2`."""
    return {"name": "sluice", "version": version, "extensions": list(EXTENSIONS)}


def model_metadata(loaded: Loaded, versions: Sequence[str]) -> dict[str, Any]:
    """`GET /v2/models/NAME`."""
    served = loaded.judge.served
    outputs = [_tensor_metadata(PREDICTION, "BYTES" if served.classes else "FP64", [-1])]
    if served.classes:
        outputs.append(_tensor_metadata(PROBABILITIES, "FP64", [-1, len(served.classes)]))
    return {
        "name": model_name(loaded),
        "versions": list(versions),
        "platform": PLATFORM,
        "inputs": [_tensor_metadata(field.name, _TYPES[field.type], [-1]) for field in served.fields],
        "outputs": outputs,
    }


def model_name(loaded: Loaded) -> str:
    """The model's name without its version."""
    return loaded.name.rpartition("/")[0] or loaded.name


def version_of(loaded: Loaded) -> str:
    """The version without the model's name."""
    return loaded.name.rpartition("/")[2]


def _tensor_metadata(name: str, datatype: str, shape: list[int]) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape}


class InferenceProtocol:
    """`POST /v2/models/NAME[/versions/V]/infer`."""

    media_type, quick = JSON, True

    def read(self, body: bytes, head: Head, limits: Limits, loaded: Loaded) -> Asked:
        """See `Wire`."""
        if b"inference-header-content-length" in head.headers:
            raise Refusal(400, "this server does not take binary tensors; send their data as JSON")
        found = read_json(body, limits, _FORM)
        inputs, id_ = found.get("inputs"), found.get("id")
        if not isinstance(inputs, list) or not inputs:
            raise Refusal(400, f"the body must have the form {_FORM}")
        if id_ is not None and not isinstance(id_, str):
            raise Refusal(400, f"id must be a text, not {shown(id_)}")
        columns: dict[str, list[Any]] = {}
        for place, tensor in enumerate(inputs):
            name, values = _column(tensor, loaded.judge.schema.types, f"inputs[{place}]")
            if name in columns:
                raise Refusal(400, f"the input {name[:80]!r} is there twice")
            columns[name] = values
        counts = {len(values) for values in columns.values()}
        if len(counts) != 1:
            told = ", ".join(map(str, sorted(counts)[:5]))
            raise Refusal(400, f"the inputs are of different lengths ({told}); each has one value a row")
        count = counts.pop()
        check_count(count, limits)
        return Asked(count, (), columns, (id_, _wanted(found.get("outputs"))))

    def write(self, asked: Asked, answered: Answered) -> bytes:
        """See `Wire`."""
        id_, wanted = asked.more
        loaded = answered.loaded
        outputs = response_outputs(answered.answer, loaded.judge.served.classes)
        unknown = [name for name in wanted if name not in outputs]
        if unknown:
            raise Refusal(400, f"there is no output {unknown[0][:80]!r}; this model has {', '.join(outputs)}")
        parameters: dict[str, Any] = {"digest": loaded.digest, "request": answered.request}
        if answered.passed_over:
            parameters["passed_over"] = ", ".join(answered.passed_over)
        return encode(
            {
                "model_name": model_name(loaded),
                "model_version": version_of(loaded),
                "id": answered.request if id_ is None else id_,
                "parameters": parameters,
                "outputs": [outputs[name] for name in wanted or outputs],
            }
        )

    def refused(self, refusal: Refusal, request: str, loaded: Loaded | None) -> Mapping[str, Any]:  # noqa: ARG002 - Wire
        """See `Wire`."""
        return {"error": refusal.detail}


def _column(tensor: Any, types: Mapping[str, str], place: str) -> tuple[str, list[Any]]:  # noqa: ANN401 - JSON
    if not isinstance(tensor, dict):
        raise Refusal(400, f"{place} must be an object with name, shape, datatype and data")
    name, datatype, shape = tensor.get("name"), tensor.get("datatype"), tensor.get("shape")
    if not isinstance(name, str):
        raise Refusal(400, f"{place}.name must be a text")
    place = f"input {name[:80]!r}"
    if datatype not in DATATYPES:
        raise Refusal(400, f"{place}: its datatype is {shown(datatype)}, and must be one of {', '.join(DATATYPES)}")
    values = _flat(tensor.get("data"), place)
    _check_shape(shape, len(values), place)
    return name, _converted(values, str(datatype), types.get(name), place)


def response_outputs(answer: Answer, classes: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """The output tensors, by name."""
    count = len(answer.values)
    if answer.called is None:
        return {PREDICTION: _output(PREDICTION, "FP64", [count], answer.values.tolist())}
    called = [classes[place] for place in answer.called.tolist()]
    return {
        PREDICTION: _output(PREDICTION, "BYTES", [count], called),
        PROBABILITIES: _output(PROBABILITIES, "FP64", [count, len(classes)], answer.values.ravel().tolist()),
    }


def _output(name: str, datatype: str, shape: list[int], data: list[Any]) -> dict[str, Any]:
    return {"name": name, "shape": shape, "datatype": datatype, "data": data}


def _wanted(outputs: Any) -> list[str]:  # noqa: ANN401 - JSON
    if outputs is None:
        return []
    if not isinstance(outputs, list):
        raise Refusal(400, "outputs must be a list of objects with a name")
    names = [output.get("name") if isinstance(output, dict) else None for output in outputs]
    if not all(isinstance(name, str) for name in names):
        raise Refusal(400, "each of outputs must be an object with a name")
    if any((output.get("parameters") or {}) for output in outputs):
        raise Refusal(400, "this server knows no parameters of outputs, such as binary_data; leave them out")
    return list(dict.fromkeys(map(str, names)))


def _flat(data: Any, place: str) -> list[Any]:  # noqa: ANN401 - JSON
    """A tensor's values in row-major order; nested as its shape is, or flat already."""
    if not isinstance(data, list):
        raise Refusal(400, f"{place}: its data must be a list")
    values = data
    while any(isinstance(value, list) for value in values):
        if not all(isinstance(value, list) for value in values):
            raise Refusal(400, f"{place}: its data is nested in some places, and flat in others")
        values = [each for value in values for each in value]
    return values


def _check_shape(shape: Any, count: int, place: str) -> None:  # noqa: ANN401 - JSON
    sides = shape if isinstance(shape, list) else []
    if not sides or not all(type(side) is int and 0 <= side < 2**63 for side in sides):
        raise Refusal(400, f"{place}: its shape must be a list of whole numbers such as [{count}]")
    if len(sides) > 8 or any(side != 1 for side in sides[1:]):
        raise Refusal(400, f"{place}: its shape is {shown(shape)}; a column has one value a row, so send [{count}]")
    if sides[0] != count:
        raise Refusal(400, f"{place}: its shape is {shown(shape)}, and its data has {count:,} values")


def _converted(values: list[Any], datatype: str, kind: str | None, place: str) -> list[Any]:
    """Values as the tensor's datatype holds them; those of a wrong type for the field are told later, row by row."""
    if kind is None:  # a column that the model does not take
        return values
    bounds, precise = _WHOLE.get(datatype), _ROUNDED.get(datatype)
    for row, value in enumerate(values):
        if value is None:
            continue
        right = (
            isinstance(value, str)
            if datatype == "BYTES"
            else isinstance(value, bool)
            if datatype == "BOOL"
            else type(value) is int and bounds.min <= value <= bounds.max
            if bounds
            else type(value) in (int, float)
        )
        if not right:
            raise Refusal(422, f"row {row}: {place} is {shown(value)}, which is no {datatype}")
    if precise:
        with np.errstate(over="ignore"):
            return [value if value is None else _rounded(value, precise) for value in values]
    return values


def _rounded(value: float, precise: type[np.float16] | type[np.float32]) -> float:
    try:
        return float(precise(value))
    except OverflowError:
        return float("inf")  # which is then told as no number
