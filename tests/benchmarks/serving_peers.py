"""The same graph behind other servers; run by `serving.py` under a Python that has them, numpy and onnxruntime.

    python serving_peers.py litserve|bentoml|mlserver FOLDER PORT SCRATCH

Each is written as its own documentation writes a service, with one worker and one thread.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

LITSERVE, BENTOML, MLSERVER = "litserve", "bentoml", "mlserver"
LIT = """
import litserve
import serving_peers

class Api(litserve.LitAPI):
    def setup(self, device):
        self.graph = serving_peers.Graph({folder!r})

    def decode_request(self, request):
        return request["rows"]

    def predict(self, rows):
        return self.graph.rows(rows)

    def encode_response(self, output):
        return {{"forecasts": output}}

if __name__ == "__main__":
    server = litserve.LitServer(Api(), accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port={port}, generate_client_file=False, log_level="warning")
"""
BENTO = """
import bentoml
import serving_peers

@bentoml.service(workers=1)
class Model:
    def __init__(self) -> None:
        self.graph = serving_peers.Graph({folder!r})

    @bentoml.api
    def predict(self, rows: list[dict]) -> dict:
        return {{"forecasts": self.graph.rows(rows)}}
"""
RUNTIME = """
import numpy
import serving_peers
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse

class Model(MLModel):
    async def load(self) -> bool:
        self.graph = serving_peers.Graph({folder!r})
        return True

    async def predict(self, payload):
        columns = {{each.name: NumpyCodec.decode_input(each) for each in payload.inputs}}
        found = self.graph.columns(columns)
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("probabilities", found)])
"""


class Graph:
    """The served model's graph, with one thread."""

    def __init__(self, folder: str) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(f"{folder}/model.onnx", options, ["CPUExecutionProvider"])
        self._fields = json.loads(Path(folder, "serving.json").read_text(encoding="utf-8"))["fields"]

    def rows(self, rows: list[dict[str, Any]]) -> list[list[float]]:
        """Probabilities of rows."""
        import numpy as np

        kinds = {each["name"]: object if each["type"] == "string" else np.float64 for each in self._fields}
        found: list[list[float]] = self.columns(
            {name: np.array([row[name] for row in rows], kind) for name, kind in kinds.items()}
        ).tolist()
        return found

    def columns(self, columns: dict[str, Any]) -> Any:
        """Probabilities of columns."""
        return self._session.run(None, {f"in:{name}": column.reshape(-1) for name, column in columns.items()})[0]


def main() -> None:
    """Serve until the process is ended."""
    peer, folder, port, scratch = sys.argv[1:]
    os.environ["PYTHONPATH"] = f"{Path(__file__).parent}:{scratch}"
    os.chdir(scratch)
    beside = Path(sys.executable).parent
    if peer == LITSERVE:
        Path("service.py").write_text(LIT.format(folder=folder, port=port), encoding="utf-8")
        command = [sys.executable, "service.py"]
    elif peer == BENTOML:
        Path("service.py").write_text(BENTO.format(folder=folder), encoding="utf-8")
        command = [str(beside / "bentoml"), "serve", "service:Model", "--host", "127.0.0.1", "--port", port]
    else:
        Path("runtime.py").write_text(RUNTIME.format(folder=folder), encoding="utf-8")
        Path("model-settings.json").write_text(json.dumps({"name": "model", "implementation": "runtime.Model"}))
        quiet = {"host": "127.0.0.1", "http_port": int(port), "grpc_port": int(port) + 1, "metrics_port": int(port) + 2}
        Path("settings.json").write_text(json.dumps(quiet | {"debug": False, "parallel_workers": 0}))
        command = [str(beside / "mlserver"), "start", "."]
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
