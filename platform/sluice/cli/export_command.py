"""The command that writes a registered model as a folder for other programs, or as a page for a browser."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sluice.cli.cluster_commands import Context, Namespace
from sluice.cluster.access import NAMESPACE
from sluice.core.errors import BadInput
from sluice.core.files import STAGING, faults
from sluice.running.terminal import Json, console, plain, print_json

if TYPE_CHECKING:
    from sluice.exporting.served_files import ServedModel

Place = Callable[[bool, str, str | None], AbstractContextManager[None]]
Model = Annotated[
    str, typer.Argument(metavar="MODEL[@ALIAS|/VERSION]", help="Without either: the champion. Or the model's digest.")
]
Output = Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where to; it must not be there yet.")]
AsOnnx = Annotated[bool, typer.Option("--onnx", help="The graph, with a README of its inputs; this is the default.")]
AsWeb = Annotated[bool, typer.Option("--web", help="A page that forecasts in a browser, without a network.")]
Runtime = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER|TGZ", help="With --web: the npm package onnxruntime-web, where npm cannot fetch it from here."
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the folder.")]
OnCluster = Annotated[bool, typer.Option("--cluster", help="Ask the cluster that the kubeconfig or SLUICE_KFP names.")]


def add_export_command(app: typer.Typer, place: Place) -> None:
    """Give the command its place in the `sluice` command.

    Args:
        app: The command.
        place: Leads to the stores of a cluster, or leaves those that the environment names.
    """

    @app.command(
        epilog="Examples: `sluice export houses -o houses-onnx` · `sluice export houses/3 -o page --web` · "
        "`sluice export houses -o page --web --runtime onnxruntime-web-1.30.0.tgz`"
    )
    def export(
        model: Model,
        output: Output,
        onnx: AsOnnx = False,
        web: AsWeb = False,
        runtime: Runtime = None,
        overwrite: Overwrite = False,
        as_json: Json = False,
        cluster: OnCluster = False,
        namespace: Namespace = NAMESPACE,
        context: Context = None,
    ) -> None:
        """Write a registered model as a folder that forecasts without Sluice: an ONNX graph, or a page."""
        if onnx and web:
            raise BadInput("--onnx and --web are two folders; write one, then the other")
        if runtime is not None and not web:
            raise BadInput("--runtime is what runs a page's graph; give it with --web")
        from sluice.running.project_runs import use_project_home

        use_project_home()
        with place(cluster, namespace, context), _new_folder(output, overwrite=overwrite) as folder:
            served = _write(model, folder, runtime, web=web)
        _tell(served, output, as_json=as_json, web=web)


def _write(model: str, folder: Path, runtime: Path | None, *, web: bool) -> "ServedModel":
    from sluice.exporting.onnx_readme import README, readme
    from sluice.exporting.refusals import NotExportable
    from sluice.registry.predicting import model_version
    from sluice.running.model_export import export_version

    version = model_version(model)
    name = f"{version.model}/{version.version}"
    try:
        served = export_version(version, folder)
    except NotExportable as error:
        raise BadInput(f"{name} cannot be exported: {error}; `sluice predict {name}` forecasts rows") from None
    if served.forecast != "graph":
        raise BadInput(
            f"{name} cannot be exported: {'; '.join(served.reasons)}; `sluice predict {name}` forecasts rows"
        )
    if web:
        from sluice.exporting.web_folder import write_web
        from sluice.exporting.web_runtime import web_runtime

        write_web(folder, served, lambda: web_runtime(runtime))
    else:
        (folder / README).write_text(readme(served), encoding="utf-8")
    return served


@contextmanager
def _new_folder(target: Path, *, overwrite: bool) -> Iterator[Path]:
    """A folder to write in, which takes its place once all is written."""
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise BadInput(f"{target} is a file or a link; name a folder")
    there = target.exists() and any(target.iterdir())
    if there and not overwrite:
        raise BadInput(f"{target} is there already; name another folder, or replace it by --overwrite")
    if there and not (target / "serving.json").is_file():
        raise BadInput(f"{target} holds no exported model, so --overwrite does not replace it; name another folder")
    with faults(str(target)):
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=STAGING, dir=target.parent) as name:
            folder = Path(name, "made")
            folder.mkdir()
            yield folder
            if target.exists():
                target.replace(Path(name, "old")) if there else target.rmdir()
            folder.replace(target)


def _tell(served: "ServedModel", output: Path, *, as_json: bool, web: bool) -> None:
    from sluice.exporting.publishing import told

    if as_json:
        stated = served.model_dump(
            mode="json", include={"model", "digest", "features", "forecast", "reasons", "parity"}
        )
        print_json(stated | {"output": str(output)})
        return
    lines = [f"{served.model} (digest {served.digest[:12]}): {told(served)}"]
    lines += [f"note: no faster form: {reason}" for reason in served.reasons]
    lines.append(f"written to {output}{os.sep}{'index.html' if web else 'README.md'}")
    for line in lines:
        console().print(plain(line), highlight=False, soft_wrap=True)
