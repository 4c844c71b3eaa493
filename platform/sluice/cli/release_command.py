"""A model moved from one environment to the next: `sluice release` writes it, `sluice promote --to` brings it."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from sluice.cli.cluster_commands import Context, Namespace
from sluice.cli.predict_command import OnCluster, Place
from sluice.cluster.access import NAMESPACE
from sluice.core.environment import changed_variables
from sluice.core.errors import BadInput
from sluice.core.home import HOME
from sluice.registry.promotions import Promotion
from sluice.running.terminal import Json, console, plain, print_json

CLUSTER = "cluster:"
Model = Annotated[str, typer.Argument(metavar="MODEL[@ALIAS|/VERSION]", help="By default the champion.")]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="The archive; by default MODEL-VERSION.release.zip.")
]


def add_release_command(app: typer.Typer, place: Place) -> None:
    """Give the command its place in the `sluice` command.

    Args:
        app: The command.
        place: Leads to the stores of a cluster, or leaves those that the environment names.
    """

    @app.command(epilog="Examples: `sluice release houses` · `sluice release houses/4 -o houses.release.zip --cluster`")
    def release(
        model: Model,
        output: Output = None,
        as_json: Json = False,
        cluster: OnCluster = False,
        namespace: Namespace = NAMESPACE,
        context: Context = None,
    ) -> None:
        """Write a version with all its evidence to one archive: models, datasets, code, decisions."""
        from sluice.registry.releases import SUFFIX, write_release
        from sluice.registry.versions import find_version
        from sluice.running.project_runs import use_project_home
        from sluice.storage.locations import default_store

        use_project_home()
        with place(cluster, namespace, context):
            found = find_version(model)
            target = output or Path(f"{found.model}-{found.version}{SUFFIX}")
            made = write_release(f"{found.model}/{found.version}", default_store(), target)
        if as_json:
            print_json({"file": str(target), **made.model_dump(mode="json", by_alias=True)})
            return
        size = target.stat().st_size / 2**20
        words = f"{target}: {made.model}/{made.version}, digest {made.digest[:12]}, {len(made.objects):,} objects"
        console().print(plain(f"{words}, {size:.1f} MiB"), highlight=False, soft_wrap=True)


def promote_to(reference: str, to: str, reason: str, context: str | None) -> Promotion:
    """Move a version, or an archive of one, to another environment, and make it champion there.

    Args:
        reference: `MODEL/VERSION` of this environment, or the file of a release.
        to: `cluster:NAMESPACE`, or the folder of another SLUICE_HOME.
        reason: Why; it stands in the record.
        context: The kubeconfig's, for a cluster.

    Raises:
        BadInput: There is no such version or environment, or something was changed.
        EnvironmentFault: A store or a registry failed.
    """
    from sluice.registry.releases import take_in, write_release
    from sluice.storage.locations import default_store

    with tempfile.TemporaryDirectory(prefix="sluice-") as folder:
        path = Path(reference)
        if not path.is_file():
            path = Path(folder) / "release.zip"
            write_release(reference, default_store(), path)
        with _environment(to, context):
            return take_in(path, default_store(), reason)


@contextmanager
def _environment(to: str, context: str | None) -> Iterator[None]:
    from sluice.core.mlflow_settings import URI
    from sluice.storage.locations import STORE

    if not to.startswith(CLUSTER):
        if not Path(to).is_dir():
            raise BadInput(f"--to {to!r}: there is no such folder; name another SLUICE_HOME, or cluster:NAMESPACE")
        with changed_variables({HOME: str(Path(to).absolute())}, without=(STORE, URI)):
            yield
        return
    from sluice.cluster.access import Target
    from sluice.cluster.connection import connected
    from sluice.cluster.step_environment import REGISTER

    reached = connected(Target(to.removeprefix(CLUSTER) or NAMESPACE, context), accounts=REGISTER)
    with reached as found, changed_variables(found.variables):
        yield
