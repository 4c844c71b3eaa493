"""The command that tells why a model was trained, or was not."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from sluice.cli.cluster_commands import Context, Namespace
from sluice.cli.predict_command import OnCluster, Place
from sluice.cluster.access import NAMESPACE
from sluice.core.errors import BadInput
from sluice.running.terminal import Json, console, plain, print_json

if TYPE_CHECKING:
    from sluice.operator.decision_records import Kept

Model = Annotated[str, typer.Argument(metavar="MODEL", help="A registered model, or a ContinuousTraining's name.")]
Last = Annotated[int, typer.Option("--last", min=1, max=1000, help="So many decisions, the newest.")]
Whole = Annotated[bool, typer.Option("--whole", help="With what each was made from.")]


def add_why_command(app: typer.Typer, place: Place) -> None:
    """Give the command its place in the `sluice` command.

    Args:
        app: The command.
        place: Leads to the stores of a cluster, or leaves those that the environment names.
    """

    @app.command(
        epilog="Examples: `sluice why houses` · `sluice why houses --last 50 --whole` · `sluice why houses --json`"
    )
    def why(
        model: Model,
        last: Last = 10,
        whole: Whole = False,
        as_json: Json = False,
        cluster: OnCluster = False,
        namespace: Namespace = NAMESPACE,
        context: Context = None,
    ) -> None:
        """Tell what the operator decided about a model and why, "do nothing" included, and how stale the model is."""
        from sluice.operator.decision_records import read_decisions
        from sluice.running.project_runs import use_project_home
        from sluice.storage.locations import default_store

        use_project_home()
        with place(cluster, namespace, context):
            found = read_decisions(default_store(), model, last)
        if not found:
            raise BadInput(
                f"no decision about {model!r} is on record here; `sluice operate` and the operator of a cluster "
                "(--cluster) put them there"
            )
        if as_json:
            print_json([{"namespace": k.namespace, "name": k.name, **k.decision.document()} for k in found])
            return
        _tell(found, whole=whole)


def _tell(found: "list[Kept]", *, whole: bool) -> None:
    from sluice.operator.decision_records import of_model
    from sluice.operator.why import decision_lines, staleness_words

    for (_, name), kept in of_model(found):
        newest = kept[-1].decision
        lines = [f"{name}, model {newest.model}" if newest.model else name]
        lines += [line for each in kept for line in decision_lines(each.decision, whole=whole)]
        # Of a past that was lived again, the age is told by its own clock.
        now = max(newest.last, datetime.now(UTC)) if len(kept) and _is_present(newest.last) else newest.last
        stale = staleness_words(newest.stale, now)
        for line in [*lines, *([stale] if stale else [])]:
            console().print(plain(line), highlight=False, soft_wrap=True)


def _is_present(moment: datetime) -> bool:
    return abs((datetime.now(UTC) - moment).days) < _PAST_DAYS


_PAST_DAYS = 365
