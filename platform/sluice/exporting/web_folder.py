"""A model as a page that forecasts in a browser, without a network: from a server of files, or as a file by itself."""

import base64
import gzip
import json
from collections.abc import Callable
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from sluice.core.errors import BadInput
from sluice.exporting.served_files import DESCRIPTION, GRAPH, ServedModel
from sluice.exporting.web_runtime import PACKAGE, VERSION, WebRuntime

_TEMPLATES = Path(__file__).parent / "templates"
_README = f"""# {{model}} in a browser

Open `index.html`, or put this folder behind any server of files. The page forecasts where it is opened: it asks no
network and sends nothing. Its Content-Security-Policy forbids both.

| file | |
|---|---|
| `index.html`, `style.css`, `app.js` | the page; `app.js` gives `window.sluice.forecast(rows)` to scripts of your own |
| `model.js` | the model: `serving.json` and the graph `model.onnx`, which lie beside it too |
| `runtime.js`, `machine.js` | {PACKAGE} {VERSION} (MIT License, Copyright (c) Microsoft Corporation), unchanged |

Files are in JavaScript because a browser reads no other files from a disk.
"""


def write_web(folder: Path, served: ServedModel, runtime: Callable[[], WebRuntime]) -> None:
    """Add the page to a folder with a served model.

    Args:
        folder: Holds `serving.json` and `model.onnx`.
        served: What it is.
        runtime: Gives what runs the graph.

    Raises:
        BadInput: The model is no graph from raw rows on, so a browser cannot run it; or see `web_runtime`.
        EnvironmentFault: See `web_runtime`.
    """
    if served.forecast != "graph" or served.features not in ("graph", "given"):
        raise BadInput(
            f"{served.model} cannot forecast in a browser: it is no graph from raw rows on, for "
            f"{'; '.join(served.reasons)}"
        )
    if any(field.shape for field in served.fields):
        raise BadInput(
            f"{served.model} judges images, and a page that decodes them as training did is not made yet; export it "
            "with --onnx, or serve it"
        )
    environment = Environment(loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined)
    page = environment.get_template("web.html").render(served=served)
    stated = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    model = {"served": stated, "graph": _packed((folder / GRAPH).read_bytes())}
    found = runtime()
    machine = {"glue": found.glue.decode(), "wasm": _packed(found.machine)}
    texts = {
        "index.html": page,
        "style.css": (_TEMPLATES / "web.css").read_text(encoding="utf-8"),
        "app.js": (_TEMPLATES / "web.js").read_text(encoding="utf-8"),
        "model.js": f"window.sluiceModel = {_script(model)};\n",
        "machine.js": f"window.sluiceMachine = {_script(machine)};\n",
        "README.md": _README.replace("{model}", served.model),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "runtime.js").write_bytes(found.script)


def _packed(data: bytes) -> str:
    """Bytes as a text that a script can hold; the same bytes give the same text."""
    return base64.b64encode(gzip.compress(data, 9, mtime=0)).decode()


def _script(value: object) -> str:
    """JSON that is also JavaScript, wherever it stands."""
    return json.dumps(value, ensure_ascii=True).replace("<", "\\u003c")
