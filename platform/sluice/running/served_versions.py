"""The served forms of registered versions, kept in the home by digest: each is made and judged once."""

import shutil
import sys
import tempfile
from pathlib import Path

from sluice.core.errors import BadInput, SluiceError
from sluice.core.files import faults
from sluice.core.home import make_home
from sluice.core.progress import progress
from sluice.exporting.refusals import NotExportable
from sluice.exporting.served_files import DESCRIPTION, read_served_model
from sluice.registry.served import SERVED
from sluice.registry.versions import Version
from sluice.running.kept_models import kept_folder
from sluice.running.lineage import find_version


def served_version(reference: str) -> tuple[Version, Path]:
    """A registered version and the folder of its served form, made where it is not there yet.

    Args:
        reference: `MODEL` (its champion), `MODEL@alias` or `MODEL/version`.

    Raises:
        BadInput: There is no such version, it has no served form, or its files were changed since it was registered.
        EnvironmentFault: The registry, the store or the disk failed.
    """
    version = find_version(reference)
    make_home()
    folder = kept_folder(version.digest)
    if (folder / DESCRIPTION).is_file():
        if read_served_model(folder).digest == version.digest:
            return version, folder
        raise BadInput(f"{folder} holds another model than its name says; remove it and try again")
    with faults(str(folder)):
        folder.parent.mkdir(parents=True, exist_ok=True)
    _make(version, folder)
    return version, folder


def _make(version: Version, folder: Path) -> None:
    """Export beside the place and move it there, so that two who do so at once find the same, and nobody a half."""
    from sluice.running.model_export import export_version

    if not version.tags.get(SERVED):
        name = f"{version.model}/{version.version}"
        progress(f"{name} was registered without a served form: it is made now, and held to the model's test rows")
    with faults(str(folder)), tempfile.TemporaryDirectory(prefix=".making-", dir=folder.parent) as name:
        made = Path(name) / "model"
        made.mkdir()
        try:
            export_version(version, made)
        except NotExportable as reason:
            raise BadInput(
                f"{version.model}/{version.version} has no form to serve ({reason}); ask it by `sluice predict`, or "
                "serve it by `mlflow models serve`"
            ) from None
        try:
            made.replace(folder)
        except OSError:
            if not (folder / DESCRIPTION).is_file():  # another process was faster
                shutil.rmtree(folder, ignore_errors=True)
                made.replace(folder)


def main() -> None:
    """Make the served form of the version that is named, for a server that follows aliases; errors in one line."""
    try:
        served_version(sys.argv[1])
    except SluiceError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(error.exit_code) from None


if __name__ == "__main__":
    main()
