"""The command that tells which model answered a request."""

from typing import Annotated

import typer

from sluice.cli.cluster_commands import Context, Namespace
from sluice.cli.predict_command import OnCluster, Place
from sluice.cluster.access import NAMESPACE
from sluice.core.errors import BadInput
from sluice.running.terminal import Json, console, plain, print_json

Request = Annotated[str, typer.Argument(metavar="REQUEST", help="Its id, as the answer had it.")]
OfModel = Annotated[str, typer.Option("--model", help="The registered model; left out, all are looked at.")]
Moment = Annotated[
    str | None, typer.Option(help="Where to look for an id that is none of Sluice's, which tell theirs.")
]


def add_which_command(app: typer.Typer, place: Place) -> None:
    """Give the command its place in the `sluice` command.

    Args:
        app: The command.
        place: Leads to the stores of a cluster, or leaves those that the environment names.
    """

    @app.command(
        epilog="Examples: `sluice which 019b2f0c-6f2a-7cc3-98c4-dc0c0c07398f` · "
        "`sluice which my-id --model houses --since 2026-03-01T14:00:00Z --until 2026-03-01T15:00:00Z`"
    )
    def which(
        request: Request,
        model: OfModel = "",
        since: Moment = None,
        until: Moment = None,
        as_json: Json = False,
        cluster: OnCluster = False,
        namespace: Namespace = NAMESPACE,
        context: Context = None,
    ) -> None:
        """Tell which version of which model answered a request, from the prediction log."""
        from sluice.predictions.labels import moment_in
        from sluice.predictions.reader import which as look
        from sluice.running.project_runs import use_project_home
        from sluice.storage.locations import default_store

        use_project_home()
        with place(cluster, namespace, context):
            found = look(default_store(), request, model, moment_in(since), moment_in(until))
        if not found:
            raise BadInput(
                f"the prediction log has no request {request!r}; it may be a minute old before the store has it, was "
                "not sampled, or was lost (`sluice monitor` tells how many were)"
            )
        if as_json:
            print_json([vars(each) | {"moment": each.moment.isoformat()} for each in found])
            return
        for each in found:
            rows = f"{each.rows:,} rows, the first " if each.rows > 1 else ""
            said = f"{each.model}/{each.version} ({each.role}, digest {each.digest[:12]}) said {rows}{each.said}"
            console().print(plain(f"{said} at {each.moment:%Y-%m-%d %H:%M:%S} UTC"), highlight=False, soft_wrap=True)
