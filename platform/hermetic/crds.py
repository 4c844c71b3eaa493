"""Write manifests/crds/ from the Go types: `.venv/bin/python platform/hermetic/crds.py`. It takes Go and PyYAML.

Kubeflow Trainer's and JobSet's definitions come whole from controller-gen, without descriptions (with them they do not
fit into a Helm release). Those of Argo Workflows keep names, columns and subresources and leave their fields open, as
the definitions that Argo calls minimal do: whole they come to megabytes. Kubeflow Pipelines has no such markers on its
one type: it is written here.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import programs
import yaml
from faults import Fault
from keys import Keys
from machine import Cache, cache_root, run
from schedule import Step, in_order
from steps import Steps
from table import Program, Table, read_table

TARGET = Path(__file__).resolve().parents[2] / "manifests" / "crds"
OPEN = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
MOST_BYTES = 900 * 1024
OURS = ".sluice.dev.yaml"  # python -m sluice.operator.custom_resources writes these
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # a minute faster on Argo's definitions, where libyaml is there


@dataclass(frozen=True)
class Types:
    """Go types of a program's module, and whether their schemas are left open."""

    program: str
    package: str
    leave_open: bool = False


SOURCES = (
    Types("trainer", "./pkg/apis/trainer/v1alpha1"),
    Types("jobset", "./api/jobset/v1alpha2"),
    Types("argo", "./pkg/apis/workflow/v1alpha1", leave_open=True),
)
SCHEDULED_WORKFLOW = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "scheduledworkflows.kubeflow.org"},
    "spec": {
        "group": "kubeflow.org",
        "names": {
            "kind": "ScheduledWorkflow",
            "listKind": "ScheduledWorkflowList",
            "plural": "scheduledworkflows",
            "singular": "scheduledworkflow",
            "shortNames": ["swf"],
        },
        "scope": "Namespaced",
        # no status subresource: the controller updates spec and status together
        "versions": [{"name": "v1beta1", "served": True, "storage": True, "schema": {}}],
    },
}


def main() -> int:
    """Write every definition; return the exit code."""
    table = read_table()
    cache = Cache(cache_root())
    steps = Steps(table, Keys(table), cache)
    try:
        in_order(steps.needed(programs=["controller-gen"]))
        generator = steps.folder("controller-gen") / "controller-gen"
        out = cache.work / "crds"
        shutil.rmtree(out, ignore_errors=True)
        in_order([_step(types, table, generator, out / types.program, cache) for types in SOURCES])
        _write(_definitions(table, out))
        shutil.rmtree(out)
    except Fault as fault:
        print(f"crds: {fault}", file=sys.stderr)
        return fault.exit_code
    return 0


def _step(types: Types, table: Table, generator: Path, out: Path, cache: Cache) -> Step:
    program = table.programs[types.program]
    return Step(types.program, program.version, lambda: _generate(types, program, generator, out, cache))


def _generate(types: Types, program: Program, generator: Path, out: Path, cache: Cache) -> None:
    log = cache.logs / f"{program.name}-crds.log"
    log.unlink(missing_ok=True)
    tree = programs.lay_out(program, cache, log, "crds")
    options = "crd:maxDescLen=0,generateEmbeddedObjectMeta=true,allowDangerousTypes=true"
    command = [str(generator), options, f"paths={types.package}", f"output:crd:dir={out}"]
    run(program.name, command, log, cwd=tree, env=programs.go_environment(cache))
    shutil.rmtree(tree)


def _definitions(table: Table, out: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield where each definition comes from, and the definition."""
    for types in SOURCES:
        program = table.programs[types.program]
        origin = f"{program.module} {program.version}, {types.package}"
        for path in sorted((out / types.program).glob("*.yaml")):
            definition: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), Loader=LOADER)  # noqa: S506 - a safe one
            yield origin, _opened(definition) if types.leave_open else definition
    kfp = table.programs["kfp"]
    yield f"{kfp.module}, backend/src/crd/pkg/apis/scheduledworkflow/v1beta1", _opened(SCHEDULED_WORKFLOW)


def _opened(definition: dict[str, Any]) -> dict[str, Any]:
    """Return a definition whose objects may hold anything beside name and kind."""
    texts = {name: {"type": "string"} for name in ("apiVersion", "kind")}
    properties = {**texts, "metadata": {"type": "object"}, "spec": OPEN, "status": OPEN}
    for version in definition["spec"]["versions"]:
        version["schema"] = {"openAPIV3Schema": {**OPEN, "properties": properties}}
    return definition


def _write(definitions: Iterator[tuple[str, dict[str, Any]]]) -> None:
    TARGET.mkdir(parents=True, exist_ok=True)
    written = set()
    for origin, definition in definitions:
        definition["metadata"].pop("annotations", None)  # the generator's version
        body = yaml.dump(definition, Dumper=_Plain, sort_keys=True, width=110)
        text = f"# Generated by platform/hermetic/crds.py from {origin}\n{body}"
        path = TARGET / f"{definition['metadata']['name']}.yaml"
        if len(text) > MOST_BYTES:
            raise Fault(f"{path.name}: {len(text)} bytes, more than the {MOST_BYTES} that fit")
        path.write_text(text, encoding="utf-8")
        written.add(path)
        print(f"{path.name}: {len(text) // 1024 + 1} KiB", flush=True)
    for old in set(TARGET.glob("*.yaml")) - written:
        if not old.name.endswith(OURS):
            old.unlink()


class _Plain(yaml.SafeDumper):
    """YAML without anchors: what is used twice is written twice."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ANN401, ARG002
        return True


if __name__ == "__main__":
    sys.exit(main())
