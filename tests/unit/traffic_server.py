"""A server of one model that follows its aliases, as a process of its own: `traffic_server.py MODEL PORT`."""

import re
import sys
import time
from pathlib import Path

BEGUN = time.perf_counter()

import uvicorn  # noqa: E402 - the clock runs from before the imports

from sluice.serving.app import Server  # noqa: E402
from sluice.serving.followed import Followed  # noqa: E402
from sluice.serving.registered import open_registry  # noqa: E402
from sluice.serving.served_versions import open_registered  # noqa: E402
from sluice.storage.locations import default_store  # noqa: E402

HEAVY = ("mlflow", "pandas", "pyarrow", "sklearn", "scipy", "onnx", "duckdb", "sqlalchemy")


def main(model: str, port: int, shadow: float) -> None:
    followed = Followed(model, open_registry(), open_registered, default_store(), slices=["carrier"], shadow=shadow)
    followed.start()
    memory = int(re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[0]) // 1024
    imported = [name for name in HEAVY if name in sys.modules]
    print(f"READY {time.perf_counter() - BEGUN:.2f} s, {memory} MB, heavy: {imported}", flush=True)
    server = Server(followed, followed.observers)
    uvicorn.run(server, host="127.0.0.1", port=port, log_level="warning", lifespan="on")
    followed.stop()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
