"""Models that judge images are served from the PNG file on: decoded as in training, and held to the model."""

import base64
import hashlib
import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import pyarrow as pa
import pytest
from PIL import Image

from sluice.core.errors import BadInput
from sluice.exporting.export import Exported, export_model
from sluice.exporting.onnx_readme import readme
from sluice.exporting.parity import JudgedRows
from sluice.exporting.served_files import read_served_model
from sluice.exporting.web_folder import write_web
from sluice.modeling.model_files import Model, forecast
from sluice.predictions.reader import read_predictions
from sluice.serving.app import Server
from sluice.serving.arrow_protocol import STREAM
from sluice.serving.exchange import Loaded, OneVersion
from sluice.serving.graph_judge import GraphJudge
from sluice.serving.prediction_log import LogSettings, PredictionLog
from sluice.serving.row_schema import MOST_PIXEL_VALUES, InvalidRows
from sluice.storage.stores import open_store
from tests.unit.model_world import IMAGES, fitted, image_rows
from tests.unit.serving_world import Seen, call

MODELS = ("logistic-regression", "convolutional-network")
ROWS = image_rows(800, 830)[0]
FILES: list[bytes] = ROWS["image"].tolist()


def png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def text(file: bytes) -> str:
    return base64.b64encode(file).decode()


def exported(folder: Path, name: str, rows: pd.DataFrame = ROWS) -> tuple[Path, Model]:
    folder.mkdir()
    model = fitted("digits", name)
    store = open_store(str(folder.parent))
    asked = Exported("digits", "5b" * 32, model, IMAGES, None, None, None, None, store)

    def batches() -> Iterator[JudgedRows]:
        yield JudgedRows(rows, rows)

    export_model(folder, asked, batches)
    return folder, model


@pytest.fixture(scope="module", params=MODELS)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    folder, model = exported(tmp_path_factory.mktemp("served") / "folder", request.param)
    return folder, forecast(model, ROWS, IMAGES)


@pytest.fixture(scope="module")
def app(served: tuple[Path, np.ndarray]) -> Server:
    return Server(OneVersion(Loaded("digits/1", GraphJudge(served[0]))), threads=2)


def test_a_judge_says_of_files_what_the_model_says(served: tuple[Path, np.ndarray]) -> None:
    folder, wanted = served
    judge = GraphJudge(folder)
    assert judge.served.parity.largest_difference <= 1e-6
    assert (judge.served.features, judge.served.forecast, judge.served.parity.rows) == ("graph", "graph", len(ROWS))
    found = judge.predict([{"image": file} for file in FILES])
    assert np.abs(found.values - wanted).max() <= 1e-6
    assert wanted.std() > 0.01
    one = judge.predict([{"image": text(FILES[7])}])
    assert np.abs(one.values - wanted[7]).max() <= 1e-6


def test_every_protocol_takes_an_image(app: Server, served: tuple[Path, np.ndarray]) -> None:
    wanted = served[1][:2]
    rows = [{"image": text(file)} for file in FILES[:2]]
    plain = call(app, "/v1/predict", {"rows": rows}).json["forecasts"]
    said = np.array([list(row["probabilities"].values()) for row in plain])
    assert np.abs(said - wanted).max() <= 1e-6
    page = [{"image": "data:image/png;base64," + row["image"]} for row in rows]  # as a browser reads a file
    table = pa.table({"image": pa.array(FILES[:2], pa.binary())})
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    arrow = call(app, "/v1/predict", sink.getvalue(), content_type=STREAM)
    tensor = {"name": "image", "shape": [2], "datatype": "BYTES", "data": [row["image"] for row in rows]}
    first = call(app, "/v1/predict", FILES[0], content_type="image/png")
    assert call(app, "/v1/predict", {"rows": page}).json["forecasts"] == plain
    assert first.json["forecasts"] == call(app, "/v1/predict", {"rows": rows[:1]}).json["forecasts"]
    called = [row["prediction"] for row in plain]
    assert pa.ipc.open_stream(arrow.body).read_all()["prediction"].to_pylist() == called
    assert call(app, "/v2/models/digits/infer", {"inputs": [tensor]}).json["outputs"][0]["data"] == called
    mlflow = call(app, "/invocations", {"dataframe_records": rows}).json["predictions"]
    assert len(mlflow) == 2
    csv = "image\n" + "".join(f"{row['image']}\n" for row in rows)
    assert call(app, "/invocations", csv.encode(), content_type="text/csv").json["predictions"] == mlflow


@pytest.mark.parametrize(
    ("given", "kind", "said"),
    [
        (None, "missing", "image is missing, which the contract does not allow (a PNG image, 8 x 8 grey)"),
        (7, "type", "image is 7, which is no text with a PNG file in base64"),
        ("digit.png", "type", "image is 'digit.png', which is no base64"),
        (text(b"GIF89a" + b"\0" * 50), "value", "image is no PNG image; export it as PNG"),
        (text(FILES[0][:-40]), "value", "image is a damaged PNG image"),
        (text(png(Image.new("L", (9, 8)))), "value", "image: the image is 9 x 8 grey where 8 x 8 grey is wanted"),
        (text(png(Image.new("RGB", (8, 8)))), "value", "image: the image is 8 x 8 colour where 8 x 8 grey is wanted"),
        (text(png(Image.new("RGBA", (8, 8)))), "value", "image has colour mode RGBA"),
    ],
)
def test_a_wrong_image_is_told_by_row_and_field(app: Server, given: object, kind: str, said: str) -> None:
    rows = [{"image": text(FILES[0])}, {"image": given}, {"image": text(FILES[1])}, {"image": given}]
    got = call(app, "/v1/predict", {"rows": rows})
    assert (got.status, got.json["count"]) == (422, 2), got.json
    assert [(each["row"], each["field"], each["kind"]) for each in got.json["problems"]] == [
        (1, "image", kind),
        (3, "image", kind),
    ]
    assert got.json["detail"].startswith(f"row 1: {said}"), got.json["detail"]


def test_a_large_image_for_a_small_model_is_not_unpacked(app: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", lambda _: pytest.fail("it was unpacked"))
    got = call(app, "/v1/predict", png(Image.new("RGB", (4000, 4000))), content_type="image/png")
    assert (got.status, "4000 x 4000 colour" in got.json["detail"]) == (422, True)


def test_a_request_has_a_most_of_pixels(served: tuple[Path, np.ndarray]) -> None:
    judge, most = GraphJudge(served[0]), MOST_PIXEL_VALUES // 64
    with pytest.raises(InvalidRows, match=f"send at most {most:,}"):
        judge.schema.given_columns({"image": FILES[:1] * (most + 1)}, most + 1)


def test_the_server_describes_the_image(app: Server) -> None:
    document = call(app, "/openapi.json").json
    field = document["components"]["schemas"]["Row"]["properties"]["image"]
    assert field["contentMediaType"] == "image/png"
    assert "8 x 8 pixels, grey" in field["description"]
    taken = document["paths"]["/v1/predict"]["post"]["requestBody"]["content"]
    assert "image/png" in taken
    assert call(app, "/v1/predict", taken["application/json"]["example"]).status == 200


def test_the_log_keeps_which_image_it_was_and_not_the_image(served: tuple[Path, np.ndarray], tmp_path: Path) -> None:
    seen, store = Seen(), open_store(str(tmp_path / "store"))
    log = PredictionLog(LogSettings(spool=tmp_path / "spool"), store)

    app = Server(OneVersion(Loaded("digits/1", GraphJudge(served[0]))), (log, seen), threads=1)
    assert call(app, "/v1/predict", {"rows": [{"image": text(FILES[3]), "id": "0803"}]}).status == 200
    assert log.stop()
    moment = pd.Timestamp.now(tz="UTC").to_pydatetime()
    found = read_predictions(store, "digits", moment - pd.Timedelta(hours=2), moment + pd.Timedelta(hours=2))
    (row,) = [row for batch in found.batches() for row in batch.to_pylist()]
    assert row["image"] == hashlib.sha256(FILES[3]).hexdigest()


def test_a_served_image_needs_neither_torch_nor_pandas_nor_onnx(served: tuple[Path, np.ndarray]) -> None:
    code = (
        "import sys; from pathlib import Path; from sluice.serving.judges import open_judge\n"
        f"judge = open_judge(Path({str(served[0])!r})); judge.predict([{{'image': {text(FILES[0])!r}}}])\n"
        "print(sorted({'torch', 'pandas', 'sklearn', 'onnx', 'mlflow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_exported_graph_takes_decoded_pixels(served: tuple[Path, np.ndarray]) -> None:
    folder, wanted = served
    pixels = np.stack([np.asarray(Image.open(io.BytesIO(file))) for file in FILES])[..., None]
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    assert np.abs(session.run(None, {"in:image": pixels})[0] - wanted).max() <= 1e-6
    said = readme(read_served_model(folder))
    assert "shape (rows, 8, 8, 1)" in said
    example = said.split("```python\n")[1].split("```")[0]
    exec(compile(example.replace("'model.onnx'", repr(str(folder / "model.onnx"))), "README", "exec"), {})
    with pytest.raises(BadInput, match="judges images"):
        write_web(folder, read_served_model(folder), lambda: pytest.fail("the runtime is not needed"))


def test_a_graph_of_other_weights_is_not_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sluice.exporting import images

    def darker(graph: images.Graph, pixels: str) -> str:
        return graph.add("Div", graph.cast(pixels, np.float32), graph.constant(np.float32(256)))

    monkeypatch.setattr("sluice.exporting.networks.unit_pixels", darker)
    with pytest.raises(images.NotExportable, match="differ from the model's by up to"):
        exported(tmp_path / "folder", "convolutional-network")


def test_a_server_without_pillow_says_what_to_install(
    served: tuple[Path, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(BadInput, match="install the extra `images`"):
        GraphJudge(served[0])
