"""The command that serves a registered model by HTTP: raw rows in, forecasts out."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sluice.core.errors import BadInput

if TYPE_CHECKING:
    from sluice.serving.registered import Registered
    from sluice.serving.settings import Settings

Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL[@ALIAS|/VERSION]|FOLDER",
        help="A registered model, without either its champion; or a folder that `sluice export` wrote.",
    ),
]
Port = Annotated[int, typer.Option(help="The port; 0 takes a free one.", min=0, max=65535)]
Host = Annotated[str, typer.Option(help="The address to listen at; 0.0.0.0 lets other machines ask.")]
MetricsPort = Annotated[
    int | None, typer.Option(help="A port for health and metrics alone, which asks for no token.", min=0, max=65535)
]
TokenFile = Annotated[
    Path | None,
    typer.Option(help="Tokens that callers must have, one a line; by default one of this machine's own in the home."),
]
NoToken = Annotated[bool, typer.Option("--no-token", help="Ask for no token; for this machine's own programs alone.")]
Threads = Annotated[
    int | None, typer.Option(help="Long requests at once; by default as many as there are processors.", min=1, max=256)
]
Drain = Annotated[
    float, typer.Option(help="Seconds at the end in which it is not ready, but still answers.", min=0, max=3600)
]
Rows = Annotated[int | None, typer.Option(help="The most rows of a request.", min=1)]
Body = Annotated[int | None, typer.Option(metavar="BYTES", help="The most bytes of a request's body.", min=1)]
Log = Annotated[
    bool | None,
    typer.Option(
        "--log/--no-log",
        help="Keep what is answered in the store; by default of the registry's models, not of folders.",
    ),
]
Sampling = Annotated[float, typer.Option(help="The share of requests that are logged.", min=0, max=1)]
Shadow = Annotated[
    float, typer.Option(help="The share of requests that champion and challenger both judge.", min=0, max=1)
]
Slices = Annotated[
    list[str] | None, typer.Option("--slice", metavar="COLUMN", help="Compare them by its groups, too; repeatable.")
]
NoFeedback = Annotated[bool, typer.Option("--no-feedback", help="Take no labels.")]
Requests = Annotated[int | None, typer.Option(help="The most requests at once; more are told to wait.", min=1)]


def add_serve_command(app: typer.Typer) -> None:
    """Give the command its place in the `sluice` command."""

    @app.command(
        epilog="Examples: `sluice serve houses` · `sluice serve houses@challenger --port 9000` · "
        "`sluice serve ./served --no-token` · `sluice serve houses --host 0.0.0.0 --token-file tokens.txt`"
    )
    def serve(
        model: Model,
        port: Port = 8080,
        host: Host = "127.0.0.1",
        token_file: TokenFile = None,
        no_token: NoToken = False,
        metrics_port: MetricsPort = None,
        threads: Threads = None,
        drain: Drain = 0.0,
        max_rows: Rows = None,
        max_body: Body = None,
        max_requests: Requests = None,
        log: Log = None,
        sampling: Sampling = 1.0,
        shadow: Shadow = 1.0,
        slices: Slices = None,
        no_feedback: NoFeedback = False,
    ) -> None:
        """Serve a registered model by HTTP, until Ctrl+C: raw rows in, forecasts out.

        Without a version the registry's alias is followed: another champion answers within seconds of its promotion.
        """
        from sluice.core.processors import usable_processors
        from sluice.running.project_runs import use_project_home
        from sluice.serving.settings import LOOPBACK

        if no_token and token_file:
            raise BadInput("--no-token and --token-file exclude each other; keep one of them")
        if no_token and host not in LOOPBACK:
            raise BadInput(
                f"--no-token is for this machine's own programs, and other machines reach {host}; leave one out"
            )
        limits = {"rows": max_rows, "body": max_body, "requests": max_requests}
        use_project_home()
        logs = not is_folder(model) if log is None else log
        given = {
            **_who(model),
            "shadow": shadow,
            "slices": slices or [],
            "log": {"sampling": sampling} if logs and sampling else None,
            "feedback": False if no_feedback else None,
            "host": host,
            "port": port,
            "metrics_port": metrics_port,
            "token_file": None if no_token else str(_tokens(token_file).absolute()),
            "threads": threads or usable_processors(),
            "drain": drain,
            "limits": {key: value for key, value in limits.items() if value is not None},
        }
        _become_server(given)


def _who(model: str) -> dict[str, str]:
    """What the server is told of who answers: a folder, or a registered model whose alias it follows.

    Raises:
        BadInput: There is no such model, version or folder, or it has no served form; the message says why.
        EnvironmentFault: The registry or the store is down.
    """
    from sluice.registry.versions import parse_reference

    if not is_folder(model) and not parse_reference(model)[2]:
        see_that_it_can_be_served(model)
        return {"model": model}
    folder, name = found_model(model)
    return {"folder": str(folder), "name": name}


def see_that_it_can_be_served(model: str) -> None:
    """Make the served forms of the versions that a server will meet first, where they were registered without one.

    Raises:
        BadInput: There is no such model or alias, or what it points to has no served form.
        EnvironmentFault: The registry or the store is down.
    """
    from sluice.core.errors import SluiceError
    from sluice.core.progress import progress
    from sluice.registry.versions import CHALLENGER, CHAMPION, parse_reference
    from sluice.serving.registered import open_registry

    name, alias, _ = parse_reference(model)
    registry = open_registry()
    try:
        numbers = registry.aliases(name)
        first = registry.version(name, numbers[alias])
    except (SluiceError, KeyError) as error:
        from sluice.registry.versions import find_version

        find_version(model)  # says which models and aliases there are
        raise BadInput(f"{model} cannot be followed: {error}") from None
    _make_served(first)
    second = numbers.get(CHALLENGER, first.version) if alias == CHAMPION else first.version
    if second != first.version:
        try:
            _make_served(registry.version(name, second))
        except BadInput as error:
            progress(f"{error}; the champion answers without a challenger")


def _make_served(version: "Registered") -> None:
    """Make a version's served form in the home, unless it was published with one or it is there."""
    from sluice.exporting.served_files import DESCRIPTION
    from sluice.registry.served import SERVED
    from sluice.running.kept_models import kept_folder

    if version.tags.get(SERVED) or (kept_folder(version.digest) / DESCRIPTION).is_file():
        return
    from sluice.running.served_versions import served_version

    served_version(version.name)


def found_model(model: str) -> tuple[Path, str]:
    """The folder to serve and its name, `MODEL/version`; a registered version is exported where it is not there yet.

    Raises:
        BadInput: There is no such model or folder, or it has no served form; the message says why.
        EnvironmentFault: The registry or the store is down.
    """
    from sluice.exporting.served_files import read_served_model

    path = Path(model)
    if is_folder(model):
        served = read_served_model(path)
        return path.absolute(), f"{served.model}/{served.digest[:12]}"
    from sluice.running.served_versions import served_version

    version, folder = served_version(model)
    return folder, f"{version.model}/{version.version}"


def is_folder(model: str) -> bool:
    """Whether a folder is meant, and not one of the registry's models."""
    from sluice.exporting.served_files import DESCRIPTION

    if (Path(model) / DESCRIPTION).is_file():
        return True
    name, separator, version = model.rpartition("/")
    return model.startswith((".", os.sep)) or bool(separator and (os.sep in name or not version.isdecimal()))


def _tokens(given: Path | None) -> Path:
    from sluice.core.home import make_home
    from sluice.serving.tokens import own_token_file

    return given or own_token_file(make_home() / "serving")


def _become_server(given: dict[str, Any]) -> None:
    """Replace this process by the server, which holds none of what finding and exporting a model has loaded.

    Raises:
        BadInput: A setting is wrong.
    """
    import json

    from sluice.serving.settings import read_settings

    settings: Settings = read_settings(json.dumps(given))
    sys.stdout.flush()
    sys.stderr.flush()
    words = [sys.executable, *_flags(), "-m", "sluice.serving", settings.model_dump_json()]
    os.execv(sys.executable, words)  # noqa: S606 - no shell; the words are ours


def _flags() -> list[str]:
    """What this Python was started with that its successor must know, too."""
    return [flag for flag in ("-I", "-s", "-E") if getattr(sys.flags, _FLAGS[flag])]


_FLAGS = {"-I": "isolated", "-s": "no_user_site", "-E": "ignore_environment"}
