"""The registry's versions as the steps see them: by alias, never by stage, their files checked by digest."""

import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sluice.core.errors import BadInput
from sluice.core.inner_files import told_by
from sluice.modeling.model_digests import CODE_DIGEST, check_code
from sluice.modeling.model_digests import DIGEST as DIGEST  # what a version is found and checked by
from sluice.modeling.model_digests import check_digest as check_digest
from sluice.modeling.model_digests import model_digest as model_digest
from sluice.registry.mlflow_access import (
    mlflow_module,
    registry_client,
    tracking_exists,
    tracking_faults,
    write_tracking,
)
from sluice.registry.registry_server import RegistryServer

CHAMPION, CHALLENGER = "champion", "challenger"
_DIGITS = 9  # of a version's number: MLflow keeps 32 bits
_ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


@dataclass(frozen=True)
class Version:
    """A version of a registered model.

    Attributes:
        model: The registered model's name.
        version: Its number, as MLflow writes it.
        digest: What `model_digest` gives for its files.
        aliases: The aliases that point to it.
        tags: All its tags.
        run: The MLflow run that registered it.
        created: Milliseconds since 1970.
    """

    model: str
    version: str
    digest: str
    aliases: tuple[str, ...]
    tags: dict[str, str]
    run: str
    created: int


@dataclass(frozen=True)
class Entry:
    """A registered model's own aliases (version by name) and tags."""

    aliases: dict[str, str]
    tags: dict[str, str]


def registry_entry(model: str) -> Entry | None:
    """What the registry says of a model as a whole, read at one moment; None where it is not registered.

    Raises:
        EnvironmentFault: MLflow is down or denies access.
    """
    if not tracking_exists():
        return None
    client = registry_client()
    with tracking_faults():
        try:
            found = client.get_registered_model(model)
        except Exception as error:
            if _is_absent(error):
                return None
            raise
    aliases = {str(alias): str(number) for alias, number in found.aliases.items()}
    return Entry(aliases, {str(key): str(value) for key, value in found.tags.items()})


def set_alias(model: str, alias: str, version: str) -> None:
    """Point an alias to a version.

    Raises:
        EnvironmentFault: MLflow is down or denies access.
    """
    client = registry_client()
    write_tracking(lambda: client.set_registered_model_alias(model, alias, version))


def remove_alias(model: str, alias: str) -> None:
    """Take an alias away; raises as `set_alias`."""
    client = registry_client()
    with tracking_faults():
        client.delete_registered_model_alias(model, alias)


def set_model_tag(model: str, key: str, value: str) -> None:
    """Set a tag of the registered model as a whole; raises as `set_alias`."""
    client = registry_client()
    write_tracking(lambda: client.set_registered_model_tag(model, key, value))


def remove_model_tag(model: str, key: str) -> None:
    """Take a tag of the registered model away, if another process has not; raises as `set_alias`."""
    client = registry_client()
    with tracking_faults():
        try:
            client.delete_registered_model_tag(model, key)
        except Exception as error:
            if not _is_absent(error):
                raise


def remove_version(version: Version) -> None:
    """Remove a version that nothing points to; raises as `set_alias`."""
    client = registry_client()
    with tracking_faults():
        client.delete_model_version(version.model, version.version)


def version_by_alias(model: str, alias: str) -> Version | None:
    """The version that an alias points to; None where there is no such alias, model or tracking yet.

    Raises:
        EnvironmentFault: MLflow is down or denies access.
    """
    return _registered_version(model, lambda aliases: aliases.get(alias))


def version_by_number(model: str, number: str) -> Version | None:
    """One version; None where it is not there. Raises as `version_by_alias`."""
    if len(number.lstrip("0")) > _DIGITS:  # no database of MLflow's could even be asked for it
        return None
    return _registered_version(model, lambda _: number)


def version_by_digest(model: str, digest: str) -> Version | None:
    """The first version with these very files; None where there is none. Raises as `version_by_alias`."""
    if not tracking_exists():
        return None
    client = registry_client()
    with tracking_faults():
        found = client.search_model_versions(f"name = '{_quoted(model)}' and tags.`{DIGEST}` = '{_quoted(digest)}'")
    numbers = sorted((str(entry.version) for entry in found), key=int)
    return version_by_number(model, numbers[0]) if numbers else None


def versions(model: str) -> list[Version]:
    """All versions of a model, oldest first; empty where it is not registered. Raises as `version_by_alias`."""
    if not tracking_exists():
        return []
    client = registry_client()
    with tracking_faults():
        found = client.search_model_versions(f"name = '{_quoted(model)}'")
    entry = registry_entry(model) if found else None
    if entry is None:
        return []
    return sorted((_version(each, entry.aliases) for each in found), key=lambda version: int(version.version))


def registered_models() -> list[str]:
    """The names of all registered models, sorted."""
    if not tracking_exists():
        return []
    client = registry_client()
    with tracking_faults():
        return sorted(str(entry.name) for entry in client.search_registered_models())


@contextmanager
def version_files(version: Version) -> Iterator[Path]:
    """The model's files of a version, for the time of the `with` block, their digest checked.

    Raises:
        BadInput: They, or the code that travels with them, are missing or were changed since they were registered.
        EnvironmentFault: MLflow is down.
    """
    uri = f"models:/{version.model}/{version.version}"
    with tempfile.TemporaryDirectory(prefix="sluice-") as target:
        with tracking_faults():
            root = _downloaded(version, Path(target))
        folder = root / _data_folder(root, uri)
        with told_by(uri, root):
            check_digest(folder, version.digest, uri)
            if CODE_DIGEST in version.tags:
                check_code(root / "code", version.tags[CODE_DIGEST])
            yield folder


def _downloaded(version: Version, folder: Path) -> Path:
    client = registry_client()
    if isinstance(client, RegistryServer) and client.download(version.model, version.version, folder):
        return folder
    uri = f"models:/{version.model}/{version.version}"
    return Path(mlflow_module().artifacts.download_artifacts(artifact_uri=uri, dst_path=str(folder)))


def _data_folder(root: Path, uri: str) -> str:
    try:
        described = yaml.safe_load((root / "MLmodel").read_text(encoding="utf-8"))
        return str(described["flavors"]["python_function"]["data"])
    except (OSError, ValueError, yaml.YAMLError, LookupError, TypeError) as error:
        raise BadInput(f"{uri}: its file MLmodel was removed or changed since it was registered ({error})") from None


def _is_absent(error: Exception) -> bool:
    return getattr(error, "error_code", "") in _ABSENT


def _registered_version(model: str, choose: Callable[[dict[str, Any]], Any]) -> Version | None:
    """The version whose number `choose` takes from the model's aliases.

    The model comes first: asked for a version of a model that is not there, a server with accounts denies access.
    """
    if not tracking_exists():
        return None
    client = registry_client()
    with tracking_faults():
        try:
            aliases = client.get_registered_model(model).aliases
            number = choose(aliases)
            entry = client.get_model_version(model, str(number)) if number else None
        except Exception as error:
            if _is_absent(error):
                return None
            raise
    return _version(entry, aliases) if entry else None


def _version(entry: Any, aliases: dict[str, Any]) -> Version:  # noqa: ANN401 - MLflow
    tags = {str(key): str(value) for key, value in entry.tags.items()}
    return Version(
        model=str(entry.name),
        version=str(entry.version),
        digest=tags.get(DIGEST, ""),
        aliases=tuple(sorted(alias for alias, number in aliases.items() if str(number) == str(entry.version))),
        tags=tags,
        run=str(entry.run_id or ""),
        created=int(entry.creation_timestamp),
    )


def _quoted(text: str) -> str:
    """Text as MLflow's filters can hold it: they know no escape for a quote, and no name of ours has one."""
    return text.replace("'", "")


def parse_reference(reference: str) -> tuple[str, str, str]:
    """Split `MODEL`, `MODEL@alias` or `MODEL/version` into model, alias (by default `champion`) and version.

    Raises:
        BadInput: It is of another form.
    """
    match = re.fullmatch(r"(?P<model>[^@/\s]+)(?:@(?P<alias>[\w.-]+)|/(?P<version>[0-9]+))?", reference)
    if not match:
        raise BadInput(f"{reference!r} is no model reference; write MODEL, MODEL@alias or MODEL/version")
    version = match["version"] or ""
    return match["model"], "" if version else match["alias"] or CHAMPION, version


def find_version(reference: str) -> Version:
    """The version that a reference means.

    Raises:
        BadInput: There is none; the message names the known ones.
        EnvironmentFault: The registry is down.
    """
    model, alias, number = parse_reference(reference)
    found = version_by_number(model, number) if number else version_by_alias(model, alias)
    if found:
        return found
    known = versions(model)
    if not known:
        names = ", ".join(registered_models()) or "none yet; `sluice run` in a project's folder makes one"
        raise BadInput(f"no model {model!r} is registered; known: {names}")
    numbers = ", ".join(f"{model}/{version.version}" for version in known)
    aliases = ", ".join(f"{model}@{name}" for name in sorted({a for version in known for a in version.aliases}))
    raise BadInput(f"{reference!r} is not registered; known: {', '.join(filter(None, (aliases, numbers)))}")
