"""`python -m sluice.mlflow_server COMMAND`; errors that Sluice understands end in one line on standard error."""

import argparse
import sys

from sluice.core.errors import SluiceError
from sluice.core.settings import settings
from sluice.mlflow_server.server_settings import ServerSettings

DEADLINE_SECONDS = 600.0


def main(arguments: list[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit code: 0 done, 1 a service failed, 2 bad input.
    """
    parser = argparse.ArgumentParser(prog="python -m sluice.mlflow_server", description="MLflow's server in a pod.")
    parser.add_argument("command", choices=("migrate", "wait", "serve"))
    parser.add_argument("--deadline", type=float, default=DEADLINE_SECONDS, help="seconds that a wait may take")
    given = parser.parse_args(arguments)
    try:
        _run(given.command, ServerSettings.of(settings().mlflow_server), given.deadline)
    except SluiceError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - the last line of the pod's log
        return error.exit_code
    return 0


def _run(command: str, settings: ServerSettings, deadline: float) -> None:
    if command == "migrate":
        from sluice.mlflow_server.migration import migrate

        migrate(settings, deadline)
    elif command == "wait":
        from sluice.mlflow_server.migration import wait

        wait(settings, deadline)
    else:
        from sluice.mlflow_server.serving import serve

        serve(settings)


if __name__ == "__main__":
    sys.exit(main())
