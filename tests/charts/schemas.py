"""JSON schemas for kubeconform without a network: Kubernetes' own from its Go module, ours from manifests/crds.

`python tests/charts/schemas.py` makes them, once, into ~/.cache/sluice/schemas; the tests do the same where they can.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sluice"
KEPT = ("type", "items", "additionalProperties", "required", "enum", "pattern", "anyOf", "oneOf", "allOf", "not")
# What the OpenAPI document calls a string, and the API server also takes as a number.
EITHER = {"oneOf": [{"type": "string"}, {"type": "number"}]}
LOOSE = {"io.k8s.apimachinery.pkg.api.resource.Quantity", "io.k8s.apimachinery.pkg.util.intstr.IntOrString"}


class NoSchemas(Exception):
    """They cannot be made here; the text says what is missing."""


def module() -> dict[str, str]:
    """Kubernetes' entry in the table of what Go builds: module, version, sum."""
    table = tomllib.loads((ROOT / "platform/hermetic/programs.toml").read_text())
    return dict(table["kubernetes"])


def kubernetes_schemas() -> Path:
    """The folder of Kubernetes' schemas, made where it is missing.

    Raises:
        NoSchemas: There is no Go, or the module cannot be had.
    """
    maker = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:8]
    folder = CACHE / "schemas" / f"kubernetes-{module()['version']}-{maker}"
    if not folder.is_dir():
        document = json.loads((_download() / "api/openapi-spec/swagger.json").read_text())
        partial = folder.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        write_kubernetes(document, partial)
        partial.rename(folder)
    return folder


def _download() -> Path:
    wanted = module()
    command = ["go", "mod", "download", "-json", f"{wanted['module']}@{wanted['version']}"]
    own = {"GOMODCACHE": str(CACHE / "go" / "mod"), "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=mod", "GONOSUMDB": "*"}
    try:
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, env=os.environ | own, cwd="/", timeout=600
        )
    except (FileNotFoundError, subprocess.TimeoutExpired) as error:
        raise NoSchemas(f"no Go to fetch Kubernetes' schemas with ({error}): `make tools` says what it takes") from None
    answer = json.loads(done.stdout or "{}")
    if done.returncode or answer.get("Sum") != wanted["sum"]:
        raise NoSchemas(f"Kubernetes' schemas cannot be fetched: {answer.get('Error') or done.stderr or 'another sum'}")
    return Path(answer["Dir"])


def write_kubernetes(document: dict[str, Any], folder: Path) -> None:
    """Write the OpenAPI document's definitions into one file, and for each kind a file that points into it."""
    folder.mkdir(parents=True)
    definitions = {
        name: EITHER if name in LOOSE else strict(schema) for name, schema in document["definitions"].items()
    }
    (folder / "_definitions.json").write_text(json.dumps({"definitions": definitions}))
    for name, schema in document["definitions"].items():
        for kind in schema.get("x-kubernetes-group-version-kind", []):
            target = {"$ref": f"_definitions.json#/definitions/{name}"}
            file = folder / file_name(kind["group"], kind["version"], kind["kind"])
            file.write_text(json.dumps(target))


def write_crds(folder: Path) -> None:
    """Write the schemas of our custom resources, from manifests/crds."""
    folder.mkdir(parents=True, exist_ok=True)
    for group, version, kind, schema in _crd_versions():
        whole = {**schema, "properties": {**schema.get("properties", {}), "metadata": {"type": "object"}}}
        whole["properties"] |= {"apiVersion": {"type": "string"}, "kind": {"type": "string"}}
        (folder / file_name(group, version, kind)).write_text(json.dumps(strict(whole)))


def _crd_versions() -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    for path in sorted((ROOT / "manifests/crds").glob("*.yaml")):
        spec = yaml.load(path.read_text(), Loader=yaml.CSafeLoader)["spec"]
        for version in spec["versions"]:
            yield spec["group"], version["name"], spec["names"]["kind"], version["schema"]["openAPIV3Schema"]


def file_name(group: str, version: str, kind: str) -> str:
    """As kubeconform's `{{.ResourceKind}}{{.KindSuffix}}.json` names it."""
    first = group.split(".")[0]
    return f"{kind.lower()}{'-' + first if first else ''}-{version}.json"


def strict(schema: Any) -> Any:
    """The schema that refuses properties it does not list, with references into _definitions.json."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string") or schema.get("format") == "int-or-string":
        return EITHER
    if "$ref" in schema:
        return {"$ref": schema["$ref"].replace("#/definitions", "_definitions.json#/definitions")}
    kept = {key: strict(schema[key]) for key in KEPT if key in schema}
    if "properties" in schema:
        kept["properties"] = {name: strict(part) for name, part in schema["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            kept.setdefault("additionalProperties", False)
    return kept


if __name__ == "__main__":
    try:
        print(kubernetes_schemas())
    except NoSchemas as reason:
        sys.exit(str(reason))
