"""`python -m sluice.run_gateway`: decides for the nginx beside it, until the pod ends."""

import signal
import sys
import threading

from sluice.core.errors import SluiceError
from sluice.core.progress import progress
from sluice.core.variable_groups.cluster import GatewayVariables
from sluice.run_gateway.gateway_settings import GatewaySettings
from sluice.run_gateway.pods import Cluster, Pods
from sluice.run_gateway.serving import RequestGate, Server


def main() -> int:
    """Serve.

    Returns:
        The exit code: 0 ended by a signal, 1 there is no Kubernetes API, 2 a variable is wrong.
    """
    try:
        settings = GatewaySettings.of(GatewayVariables.now())
        pods = Pods(Cluster(), settings.namespace, platform=settings.platform)
    except SluiceError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - the last line of the pod's log
        return error.exit_code
    with Server(settings.socket, RequestGate(settings.buckets, pods.caller, pods.look, pods.run)) as server:
        signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
        progress(f"deciding for runs of namespace {settings.namespace} at {settings.socket}")
        server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
