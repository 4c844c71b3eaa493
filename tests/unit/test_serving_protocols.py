"""Four protocols say the same of the same rows, and each says in its own words what is wrong with others."""

import io
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pyarrow as pa
import pytest
from mlflow.pyfunc.scoring_server import infer_and_parse_data, parse_csv_input

from sluice.exporting.served_files import RowField
from sluice.serving.app import Server
from sluice.serving.row_schema import InvalidRows, RowSchema
from tests.unit.serving_world import DIGEST, FIELDS, ROW, Seen, call, odds, served_folder, server

STREAM = "application/vnd.apache.arrow.stream"
ROWS = [
    dict(ROW),
    {**ROW, "carrier": "UA", "remark": None, "scheduled": "2013-01-01T05:00:00+00:00", "temp": None},
    {**ROW, "stops": 3, "festive": False, "day": None, "distance": 12},
]
LATE = [1 / (1 + math.exp(-odds(row))) for row in ROWS]


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Server:
    return server(served_folder(tmp_path_factory.mktemp("m") / "late"))


def tensors(rows: list[dict[str, Any]], types: dict[str, str] | None = None) -> list[dict[str, Any]]:
    kinds = {"string": "BYTES", "int64": "INT64", "float64": "FP64", "bool": "BOOL"}
    return [
        {
            "name": field.name,
            "shape": [len(rows)],
            "datatype": (types or {}).get(field.name, kinds.get(field.type, "BYTES")),
            "data": [row[field.name] for row in rows],
        }
        for field in FIELDS
    ]


def table(rows: list[dict[str, Any]]) -> bytes:
    made = pa.Table.from_pylist(
        [{**row, "scheduled": np.datetime64(row["scheduled"][:19], "us").item()} for row in rows]
    )
    made = made.set_column(made.schema.get_field_index("carrier"), "carrier", made["carrier"].dictionary_encode())
    return stream(made)


def stream(made: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, made.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(made)
    return sink.getvalue()


def test_plain_json_says_who_forecast_what(app: Server) -> None:
    got = call(app, "/v1/predict", {"rows": ROWS}, x_request_id="abc/1")
    assert got.status == 200
    assert {key: got.json[key] for key in ("model", "digest", "request")} == {
        "model": "late/3",
        "digest": DIGEST,
        "request": "abc/1",
    }
    assert [each["probabilities"]["late"] for each in got.json["forecasts"]] == pytest.approx(LATE)
    assert [each["prediction"] for each in got.json["forecasts"]] == ["late" if p >= 0.95 else "on time" for p in LATE]
    assert len({each["prediction"] for each in got.json["forecasts"]}) == 2  # the threshold is 0.95, not a half
    assert (got.headers["x-sluice-model"], got.headers["x-sluice-digest"]) == ("late/3", DIGEST)


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_records": ROWS},
        {
            "dataframe_split": {
                "columns": list(ROW),
                "data": [[row[n] for n in ROW] for row in ROWS],
                "index": [7, 8, 9],
            }
        },
        {"instances": ROWS},
        {"inputs": {name: [row[name] for row in ROWS] for name in ROW}},
        {"inputs": ROWS},
    ],
    ids=lambda body: f"{next(iter(body))}",
)
def test_mlflows_forms_are_read_as_mlflow_reads_them(app: Server, body: dict[str, Any]) -> None:
    got = call(app, "/invocations", {**body, "params": {"decision": True}}, content_type="application/json")
    assert [row["late"] for row in got.json["predictions"]] == pytest.approx(LATE)
    assert list(got.json["predictions"][0]) == ["on time", "late", "decision"]
    read = infer_and_parse_data(json.loads(json.dumps(body)))  # MLflow's own reader finds as many rows in it
    assert len(read["carrier"] if isinstance(read, dict) else read) == 3


def test_a_csv_of_pandas_is_read_by_the_types_of_the_contract(app: Server) -> None:
    frame = parse_csv_input(io.StringIO(_csv(ROWS)))
    got = call(app, "/invocations", frame.to_csv(index=False).encode(), content_type="text/csv; charset=utf-8")
    assert [row["late"] for row in got.json["predictions"]] == pytest.approx(LATE)
    wrong = _csv([{**ROW, "stops": "two", "festive": "maybe"}])
    got = call(app, "/invocations", wrong.encode(), content_type="text/csv")
    assert got.status == 422
    assert "row 0: stops is 'two', which is no number (and 1 more)" in got.json["message"]


def _csv(rows: list[dict[str, Any]]) -> str:
    lines = [",".join(ROW)] + [",".join("" if row[n] is None else str(row[n]) for n in ROW) for row in rows]
    return "\n".join(lines)


# Transcribed from the schemas of the specification (open_inference_rest.yaml, version 2.0), closed against other keys.
TENSOR = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "shape": {"type": "array", "items": {"type": "integer"}},
        "datatype": {"type": "string"},
    },
    "required": ["name", "shape", "datatype"],
    "additionalProperties": False,
}
DATA = {"type": "array", "items": {"type": ["number", "string", "boolean"]}}
RESPONSE = {
    "type": "object",
    "properties": {
        "model_name": {"type": "string"},
        "model_version": {"type": "string"},
        "id": {"type": "string"},
        "parameters": {"type": "object"},
        "outputs": {
            "type": "array",
            "items": TENSOR
            | {"properties": TENSOR["properties"] | {"data": DATA}, "required": [*TENSOR["required"], "data"]},  # type: ignore[operator,misc]
        },
    },
    "required": ["model_name", "outputs"],
    "additionalProperties": False,
}
METADATA = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "versions": {"type": "array", "items": {"type": "string"}},
        "platform": {"type": "string"},
        "inputs": {"type": "array", "items": TENSOR},
        "outputs": {"type": "array", "items": TENSOR},
    },
    "required": ["name", "platform"],
    "additionalProperties": False,
}
ERROR = {
    "type": "object",
    "properties": {"error": {"type": "string"}},
    "required": ["error"],
    "additionalProperties": False,
}


@pytest.mark.parametrize("path", ["/v2/models/late/infer", "/v2/models/late/versions/3/infer"])
def test_open_inference_protocol(app: Server, path: str) -> None:
    got = call(app, path, {"id": "42", "inputs": tensors(ROWS)})
    jsonschema.validate(got.json, RESPONSE)
    assert (got.json["model_name"], got.json["model_version"], got.json["id"]) == ("late", "3", "42")
    prediction, probabilities = got.json["outputs"]
    assert probabilities["shape"] == [3, 2]
    assert probabilities["data"][1::2] == pytest.approx(LATE)
    assert (prediction["datatype"], prediction["shape"]) == ("BYTES", [3])
    one = call(app, path, {"inputs": tensors(ROWS), "outputs": [{"name": "prediction"}]}).json
    assert (one["outputs"], one["id"] != "42") == ([prediction], True)


def test_tensors_hold_what_their_datatype_can(app: Server) -> None:
    nested = tensors(ROWS[:1], {"stops": "UINT8", "distance": "FP32"})
    nested[2] |= {"shape": [1, 1], "data": [[0.1]]}
    row = {**ROW, "distance": float(np.float32(0.1))}
    got = call(app, "/v2/models/late/infer", {"inputs": nested})
    assert got.json["outputs"][1]["data"][1] == pytest.approx(1 / (1 + math.exp(-odds(row))), abs=1e-15)
    for name, datatype, value, told in [
        ("stops", "UINT8", 300, "row 0: input 'stops' is 300, which is no UINT8"),
        ("stops", "INT64", True, "row 0: input 'stops' is True, which is no INT64"),
        ("carrier", "BYTES", 7, "row 0: input 'carrier' is 7, which is no BYTES"),
        ("distance", "FP32", 1e300, "row 0: distance is inf, which is no number"),
        ("carrier", "FP64", 1.5, "row 0: carrier is 1.5, which is no text"),
        ("stops", "INT64", 99, "row 0: stops is 99, which is not a whole number from 0 to 10"),
    ]:
        made = [each for each in tensors(ROWS[:1]) if each["name"] != name]
        wrong = call(
            app,
            "/v2/models/late/infer",
            {"inputs": [*made, {"name": name, "shape": [1], "datatype": datatype, "data": [value]}]},
        )
        jsonschema.validate(wrong.json, ERROR)
        assert wrong.status == 422
        assert told in wrong.json["error"]


def test_what_the_inference_protocol_says_of_server_and_model(app: Server) -> None:
    assert call(app, "/v2").json.keys() == {"name", "version", "extensions"}
    metadata = call(app, "/v2/models/late").json
    jsonschema.validate(metadata, METADATA)
    assert metadata["versions"] == ["3"]
    assert [(each["name"], each["datatype"]) for each in metadata["inputs"]][:4] == [
        ("carrier", "BYTES"),
        ("remark", "BYTES"),
        ("distance", "FP64"),
        ("stops", "INT64"),
    ]
    assert call(app, "/v2/models/late/versions/3/ready").json == {"name": "late", "ready": True}
    for path in ("/v2/models/late/versions/4", "/v2/models/other", "/v2/models/other/versions/3/ready"):
        got = call(app, path)
        jsonschema.validate(got.json, ERROR)
        assert (got.status, "there is late/3" in got.json["error"]) == (404, True)


def test_arrow_in_and_out(app: Server) -> None:
    got = call(app, "/v1/predict", table(ROWS), content_type=STREAM)
    assert (got.status, got.headers["content-type"]) == (200, STREAM)
    read = pa.ipc.open_stream(got.body).read_all()
    assert read["probability_late"].to_pylist() == pytest.approx(LATE)
    assert read.schema.metadata[b"digest"].decode() == DIGEST


def _bombs() -> Iterator[tuple[str, bytes, int, str]]:
    rows = pa.Table.from_pylist([{"carrier": "AA"}])
    yield "compressed", stream(pa.table({"x": [0.0] * 1000}), compression="zstd"), 415, "compressed"
    yield "nulls", stream(pa.table({"x": pa.nulls(10**8)})), 413, "100,000,000 rows"
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * 9000, pa.int32()), ["x" * 10**5])
    yield "dictionary", stream(pa.table({"remark": texts})), 413, "longer than"
    yield "cut off", stream(rows)[:-100], 400, "no stream"
    yield "no stream", b"\xff" * 64, 400, "no stream"
    yield "nested", stream(pa.table({"x": [[1]]})), 400, "type list"
    yield "late time", stream(pa.table({"x": pa.array([2**62], pa.timestamp("us"))})), 400, "no stream"
    yield "views", stream(pa.table({"x": pa.array(["a" * 50] * 3, pa.string_view())})), 400, "type string_view"


@pytest.mark.parametrize(("body", "status", "told"), [bomb[1:] for bomb in _bombs()], ids=[b[0] for b in _bombs()])
def test_arrow_that_would_grow_is_refused(app: Server, body: bytes, status: int, told: str) -> None:
    got = call(app, "/v1/predict", body, content_type=STREAM)
    assert (got.status, told in got.json["detail"]) == (status, True), got.json


@pytest.mark.parametrize(
    ("change", "field", "kind", "told"),
    [
        ({"carrier": None}, "carrier", "missing", "one of AA, B6, UA"),
        ({"carrier": "ZZ"}, "carrier", "value", "not one of AA, B6, UA"),
        ({"carrier": 5}, "carrier", "type", "no text"),
        ({"distance": "far"}, "distance", "type", "no number"),
        ({"distance": True}, "distance", "type", "no number"),
        ({"distance": 5000.5}, "distance", "range", "not a number from 0 to 5000 in miles"),
        ({"temp": "1e3"}, "temp", "type", "no number"),
        ({"stops": 1.5}, "stops", "type", "not whole"),
        ({"stops": 2**53 + 1}, "stops", "range", "exact up to 2^53"),
        ({"stops": 10**400}, "stops", "range", "exact up to 2^53"),
        ({"festive": 1}, "festive", "type", "neither true nor false"),
        ({"scheduled": "yesterday"}, "scheduled", "time", "write it like 2026-03-01T14:00:00Z"),
        ({"scheduled": 1372962600}, "scheduled", "time", "no time"),
        ({"day": "2013-07-04T12:00:00"}, "day", "time", "no date"),
        ({"day": "2013-07-04T00:00:00Z"}, "day", "time", "no date"),
        ({"remark": "\uffff"}, "remark", "value", "no UTF-8 text"),
        ({"remark": ["a"]}, "remark", "type", "no text"),
    ],
)
@pytest.mark.parametrize("count", [1, 30])
def test_a_wrong_value_is_told_by_row_and_field(
    app: Server, change: dict[str, Any], field: str, kind: str, told: str, count: int
) -> None:
    got = call(app, "/v1/predict", {"rows": [*[dict(ROW)] * (count - 1), {**ROW, **change}]})
    assert got.status == 422
    (problem,) = got.json["problems"]
    assert (problem["row"], problem["field"], problem["kind"]) == (count - 1, field, kind)
    assert told in problem["message"]
    assert got.json["digest"] == DIGEST


@pytest.mark.parametrize("count", [1, 30])
def test_whole_numbers_are_exact_or_refused(count: int) -> None:
    schema = RowSchema([RowField(name="n", type="int64"), RowField(name="x", type="float64")])
    found = schema.columns([{"n": -(2**53), "x": 2**60}] * count)
    assert found["n"].tolist() == [-(2**53)] * count
    for wrong in (2**53 + 1, float(2**53) * 2, 10**400):
        with pytest.raises(InvalidRows, match=r"exact up to 2\^53") as caught:
            schema.given_columns({"n": [0] * (count - 1) + [wrong], "x": [0.5] * count}, count)
        assert (caught.value.problems[0].row, caught.value.kinds) == (count - 1, {"range": 1})


def test_times_without_a_zone_are_in_utc_and_others_are_moved(app: Server) -> None:
    rows = [{**ROW, "scheduled": text} for text in ("2013-07-04T18:30:00", "2013-07-04T20:30:00+02:00", "2013-07-04")]
    found = [each["probabilities"]["late"] for each in call(app, "/v1/predict", {"rows": rows}).json["forecasts"]]
    assert found[0] == found[1] == pytest.approx(LATE[0])
    assert found[2] < found[0]


def test_other_columns_are_passed_over_and_named(app: Server) -> None:
    row = {**ROW, "late": "late", "row": 7, "tmep": 5}
    for path, body, words in [
        ("/v1/predict", {"rows": [row]}, {}),
        ("/invocations", {"dataframe_records": [row]}, {"content_type": "application/json"}),
    ]:
        got = call(app, path, body, **words)
        assert (got.status, got.headers["x-sluice-passed-over"]) == (200, "tmep")  # not the label, not the key
    assert call(app, "/v1/predict", {"rows": [row]}).json["passed_over"] == ["tmep"]
    misspelt = {"distanec" if name == "distance" else name: value for name, value in ROW.items()}
    wrong = call(app, "/v1/predict", {"rows": [misspelt]})
    assert "did you mean it by 'distanec'?" in wrong.json["detail"]


def test_a_model_of_numbers(tmp_path: Path) -> None:
    app = server(served_folder(tmp_path / "number", number=True))
    assert call(app, "/v1/predict", {"rows": ROWS[:1]}).json["forecasts"] == [{"prediction": pytest.approx(odds(ROW))}]
    body = {"dataframe_records": ROWS[:1], "params": {"decision": True}}
    got = call(app, "/invocations", body, content_type="application/json")
    assert (got.status, "forecasts a number" in got.json["message"]) == (400, True)
    outputs = call(app, "/v2/models/late/infer", {"inputs": tensors(ROWS)}).json["outputs"]
    assert [(each["name"], each["datatype"]) for each in outputs] == [("prediction", "FP64")]
    read = pa.ipc.open_stream(call(app, "/v1/predict", table(ROWS), content_type=STREAM).body).read_all()
    assert read["prediction"].to_pylist() == pytest.approx([odds(row) for row in ROWS])


def test_openapi_says_what_the_server_takes_and_answers(app: Server) -> None:
    body = call(app, "/openapi.json").json
    schemas = body["components"]["schemas"]
    validator = jsonschema.Draft202012Validator({"$ref": "#/components/schemas/Row", "components": body["components"]})
    assert validator.is_valid(dict(ROW))
    assert validator.is_valid({**ROW, "temp": None})
    for change in (
        {"carrier": "ZZ"},
        {"stops": 11},
        {"stops": 1.5},
        {"distance": "1"},
        {"festive": 0},
        {"carrier": None},
    ):
        assert not validator.is_valid({**ROW, **change})
        assert call(app, "/v1/predict", {"rows": [{**ROW, **change}]}).status == 422
    assert schemas["Row"]["properties"]["distance"]["description"] == "Unit: miles."
    example = call(app, "/v1/model").json["example"]
    answer = call(app, "/v1/predict", {"rows": [example]})
    assert answer.status == 200
    for name, found in (("Answer", answer.json), ("Error", call(app, "/v1/predict", {"rows": [{}]}).json)):
        jsonschema.validate(found, {"$ref": f"#/components/schemas/{name}", "components": body["components"]})


def test_observers_see_what_was_answered(tmp_path: Path) -> None:
    seen = Seen()
    app = server(served_folder(tmp_path / "late"), observers=(seen,))
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    got = call(
        app, "/v1/predict", {"rows": ROWS}, x_request_subject="Zoë".encode().decode("latin-1"), traceparent=trace
    )
    call(app, "/v1/predict", {"rows": [{}]})
    (exchange,) = seen.exchanges
    assert (exchange.request, exchange.subject, exchange.trace) == (got.json["request"], "Zoë", trace)
    assert exchange.answer.values[:, 1] == pytest.approx(LATE)
    assert exchange.columns["distance"].tolist() == [row["distance"] for row in ROWS]
    assert got.headers["traceparent"] == trace


def test_what_a_row_carries_beside_goes_to_observers_and_never_to_the_model(tmp_path: Path) -> None:
    """A key of the wrong type is no reason to refuse a row; it is missing in the log."""
    folder, seen = served_folder(tmp_path / "late"), Seen()
    described = json.loads((folder / "serving.json").read_text())
    described["carried"] = [{"name": "row", "type": "int64", "nullable": True}]
    (folder / "serving.json").write_text(json.dumps(described))
    app = server(folder, observers=(seen,))
    got = call(app, "/v1/predict", {"rows": [{**ROW, "row": 7}, dict(ROW), {**ROW, "row": "seven"}]})
    assert got.status == 200
    call(app, "/v2/models/late/infer", {"inputs": tensors([dict(ROW)])})
    first, second = seen.exchanges
    assert first.columns["row"].tolist() == [
        7.0,
        pytest.approx(math.nan, nan_ok=True),
        pytest.approx(math.nan, nan_ok=True),
    ]
    assert "row" not in second.columns
    assert first.answer.values[:, 1] == pytest.approx([LATE[0]] * 3)
