"""`python -m sluice.run_gateway`: decides for the nginx beside it, until the pod ends."""

import os
import signal
import sys
import threading
from pathlib import Path

from components.common.errors import BadInput, SluiceError
from components.common.steps import progress
from sluice.run_gateway.pods import Cluster, Pods
from sluice.run_gateway.rules import Buckets
from sluice.run_gateway.serving import Gate, Server

SOCKET, NAMESPACE, SCRATCH = "SLUICE_GATEWAY_SOCKET", "SLUICE_RUNS_NAMESPACE", "SLUICE_GATEWAY_SCRATCH"
BUCKETS = "SLUICE_GATEWAY_BUCKETS"  # pipelines, sluice, mlflow


def main() -> int:
    """Serve.

    Returns:
        The exit code: 0 ended by a signal, 1 there is no Kubernetes API, 2 a variable is wrong.
    """
    try:
        pipelines, sluice, mlflow = _words(BUCKETS, 3)
        buckets = Buckets(pipelines, sluice, mlflow, tuple(os.environ.get(SCRATCH, "").split()))
        (namespace,) = _words(NAMESPACE, 1)
        (place,) = _words(SOCKET, 1)
        pods = Pods(Cluster(), namespace)
    except SluiceError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - the last line of the pod's log
        return error.exit_code
    with Server(Path(place), Gate(buckets, pods.caller, pods.look)) as server:
        signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
        progress(f"deciding for runs of namespace {namespace} at {place}")
        server.serve_forever()
    return 0


def _words(name: str, count: int) -> list[str]:
    words = os.environ.get(name, "").split()
    if len(words) != count:
        raise BadInput(f"{name} must hold {count} word{'s' * (count > 1)}, and holds {len(words)}; the chart sets it")
    return words


if __name__ == "__main__":
    sys.exit(main())
