"""The custom resource definitions, made of the specifications: `python -m sluice.operator.custom_resources FOLDER`.

Each is a structural schema: no references, no `null`, every object closed, bounds on what CEL rules walk over (the API
server refuses rules whose cost it cannot bound). What pydantic checks beyond a schema stands in CEL rules too, so that
`kubectl apply` refuses it with a sentence; the tests hold both to each other.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from sluice.operator.backfilling import BackfillState
from sluice.operator.parts import API_VERSION, GROUP, VERSION
from sluice.operator.specs import SPECS
from sluice.operator.state import State

Schema = dict[str, Any]
OPEN: Schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
_MOST_ITEMS, _MOST_TEXT = 100, 2000
_KEPT = (
    "type", "enum", "pattern", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems",
    "default", "description",
)  # fmt: skip
_KINDS = " + ".join(
    f"(has(self.{kind}) ? 1 : 0)" for kind in ("schedule", "data", "drift", "performance", "model", "event")
)
Rules = tuple[tuple[str, str], ...]
RULES: dict[tuple[str, str], Rules] = {
    ("ContinuousTraining", "triggers.[]"): (
        (f"{_KINDS} == 1", "give exactly one of schedule, data, drift, performance, model, event"),
    ),
    ("ContinuousTraining", "triggers"): (
        ("self.all(one, self.exists_one(other, other.name == one.name))", "give each trigger a name of its own"),
    ),
    ("ContinuousTraining", ""): (
        (
            ("!has(self.policy) || self.policy != 'cost' || (has(self.cost) && has(self.cost.perRun) && "
            "self.cost.perRun > 0.0 && has(self.cost.perUnitLoss) && self.cost.perUnitLoss > 0.0)"),
            "policy cost takes prices; give cost.perRun and cost.perUnitLoss",
        ),
        (
            ("!has(self.budget) || !has(self.budget.perMonth) || (has(self.cost) && has(self.cost.perRun) && "
            "self.cost.perRun > 0.0)"),
            "budget.perMonth takes a price; give cost.perRun",
        ),
        ("self.model == oldSelf.model", "model cannot be changed; make another ContinuousTraining"),
    ),
    ("Backfill", ""): (
        (
            "(has(self.partitions) && size(self.partitions) > 0) != (has(self.first) && has(self.last))",
            "give either partitions, or both first and last",
        ),
        ("has(self.first) == has(self.last)", "give both first and last"),
        (
            "!has(self.first) || !has(self.last) || (size(self.first) == size(self.last) && self.first <= self.last)",
            "first and last are no range; write both alike, the older first",
        ),
    ),
    ("Request", ""): (
        ("self == oldSelf", "a request cannot be changed; make another"),
        ("!(self.action in ['approve', 'promote']) || has(self.version)", "give the version that is meant"),
        (
            "self.action != 'promote' || (has(self.reason) && self.reason.matches('[^ ]'))",
            "promote takes a reason: say why the gate is passed by",
        ),
    ),
    ("ModelServer", ""): (
        (
            ("!has(self.autoscaling) || !has(self.autoscaling.by) || self.autoscaling.by != 'keda' || "
            "(has(self.autoscaling.prometheus) && self.autoscaling.prometheus != '')"),
            "autoscaling.by=keda takes autoscaling.prometheus: name the address that is asked",
        ),
        (
            "!has(self.autoscaling) || self.autoscaling.min <= self.autoscaling.max",
            "autoscaling: min is above max",
        ),
    ),
}  # fmt: skip
"""CEL rules by kind and by place in the specification, `[]` for the items of a list; each with what it tells."""


def _column(name: str, kind: str, path: str, priority: int = 0) -> Schema:
    return {"name": name, "type": kind, "jsonPath": path} | ({"priority": priority} if priority else {})


_READY = ".status.conditions[?(@.type=='Ready')].status"
COLUMNS: dict[str, list[Schema]] = {
    "Project": [
        _column("Code", "string", ".spec.code"),
        _column("Ready", "string", _READY),
        _column("Pipelines", "integer", ".status.pipelines"),
        _column("Message", "string", ".status.conditions[?(@.type=='Ready')].message", 1),
        _column("Age", "date", ".metadata.creationTimestamp"),
    ],
    "ContinuousTraining": [
        _column("Model", "string", ".spec.model"),
        _column("Champion", "string", ".status.champion"),
        _column("Phase", "string", ".status.phase"),
        _column("Stale", "date", ".status.freshness.staleSince"),
        _column("Last-Run", "date", ".status.lastStart"),
        _column("Decision", "string", ".status.conditions[?(@.type=='Ready')].message", 1),
        _column("Age", "date", ".metadata.creationTimestamp"),
    ],
    "ModelServer": [
        _column("Model", "string", ".spec.model"),
        _column("Version", "string", ".status.version"),
        _column("Ready", "string", ".status.ready"),
        _column("Message", "string", ".status.conditions[?(@.type=='Ready')].message", 1),
        _column("Age", "date", ".metadata.creationTimestamp"),
    ],
    "Backfill": [
        _column("Project", "string", ".spec.project"),
        _column("Phase", "string", ".status.phase"),
        _column("Partitions", "integer", ".status.partitions"),
        _column("Message", "string", ".status.words", 1),
        _column("Age", "date", ".metadata.creationTimestamp"),
    ],
    "Request": [
        _column("Action", "string", ".spec.action"),
        _column("Target", "string", ".spec.target"),
        _column("By", "string", ".spec.by"),
        _column("Phase", "string", ".status.phase"),
        _column("Answer", "string", ".status.words"),
        _column("Age", "date", ".metadata.creationTimestamp"),
    ],
}
SHORT = {"Project": "sproj", "ContinuousTraining": "ct", "ModelServer": "ms", "Backfill": "bf", "Request": "sreq"}
PLURALS = {kind: f"{kind.lower()}s" for kind in SPECS}
STATES: dict[str, type[BaseModel]] = {"ContinuousTraining": State, "Backfill": BackfillState}
"""Kinds whose status is a model; that of the others is left open."""


def definitions() -> dict[str, Schema]:
    """Each definition by its file's name."""
    return {f"{PLURALS[kind]}.{GROUP}.yaml": definition(kind) for kind in SPECS}


def definition(kind: str) -> Schema:
    """The CustomResourceDefinition of a kind."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURALS[kind]}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": PLURALS[kind],
                "singular": kind.lower(),
                "shortNames": [SHORT[kind]],
                "categories": ["sluice"],
            },
            "scope": "Namespaced",
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": COLUMNS[kind],
                    "schema": {"openAPIV3Schema": _resource(kind)},
                }
            ],
        },
    }


def _resource(kind: str) -> Schema:
    spec = SPECS[kind]
    return {
        "type": "object",
        "description": " ".join((spec.__doc__ or "").split()),
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": with_rules(kind, structural(spec)),
            "status": status_schema(kind),
        },
    }


def status_schema(kind: str) -> Schema:
    """The schema of a status. Names that a later version adds are kept, and its values are the operator's to check."""
    model = STATES.get(kind)
    if model is None:
        return dict(OPEN)
    names = {field.alias or name for name, field in model.model_fields.items()}
    found = structural(model)["properties"]
    kept = {name: _bare(found[name]) for name in sorted(names)}
    return {**OPEN, "properties": kept}


def _bare(schema: Schema) -> Schema:
    """A schema of a status: types alone, so that no older value is refused."""
    if schema.get("type") == "object" and "properties" in schema:
        return {**OPEN, "properties": {name: _bare(part) for name, part in schema["properties"].items()}}
    if schema.get("type") == "array":
        return {"type": "array", "items": _bare(schema["items"])}
    if "additionalProperties" in schema:
        return {"type": "object", "additionalProperties": _bare(schema["additionalProperties"])}
    return {key: schema[key] for key in ("type", "x-kubernetes-preserve-unknown-fields", "format") if key in schema}


def with_rules(kind: str, schema: Schema) -> Schema:
    """A specification's schema with the CEL rules of its kind."""
    for (of, path), rules in RULES.items():
        if of == kind:
            place = schema
            for name in filter(None, path.split(".")):
                place = place["items"] if name == "[]" else place["properties"][name]
            place["x-kubernetes-validations"] = [{"rule": rule, "message": message} for rule, message in rules]
    return schema


def structural(model: type[BaseModel]) -> Schema:
    """A model's schema as Kubernetes takes it."""
    whole = model.model_json_schema(by_alias=True, mode="validation")
    return _structural(whole, whole.get("$defs", {}))


def _structural(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Schema:
    if "$ref" in schema:
        target = definitions[schema["$ref"].rpartition("/")[2]]
        return _structural({**target, **{key: value for key, value in schema.items() if key != "$ref"}}, definitions)
    if "allOf" in schema and len(schema["allOf"]) == 1:
        rest = {key: value for key, value in schema.items() if key != "allOf"}
        return _structural({**schema["allOf"][0], **rest}, definitions)
    if "anyOf" in schema:
        return _any_of(schema, definitions)
    made = {key: schema[key] for key in _KEPT if key in schema}
    if isinstance(made.get("description"), str):
        made["description"] = " ".join(made["description"].split())
    if "default" in made:
        made["default"] = _without_null(made["default"])
        if made["default"] is None:
            del made["default"]
    if "const" in schema:
        made["enum"] = [schema["const"]]
    _exclusive(schema, made)
    if "type" not in made:
        return made | {"x-kubernetes-preserve-unknown-fields": True}  # any JSON value
    if schema.get("format") == "date-time":
        made["format"] = "date-time"
    return _of_type(schema, made, definitions)


def _without_null(value: Any) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, Mapping):
        return {name: _without_null(each) for name, each in value.items() if each is not None}
    return [_without_null(each) for each in value] if isinstance(value, list | tuple) else value


def _of_type(schema: Mapping[str, Any], made: Schema, definitions: Mapping[str, Any]) -> Schema:
    if made["type"] == "array":
        made["items"] = _structural(schema.get("items", {}), definitions)
        made.setdefault("maxItems", _MOST_ITEMS)
    elif made["type"] == "string" and "enum" not in made:
        made.setdefault("maxLength", _MOST_TEXT)
    elif made["type"] == "object":
        if "properties" in schema:
            made["properties"] = {name: _structural(part, definitions) for name, part in schema["properties"].items()}
            if schema.get("required"):
                made["required"] = list(schema["required"])
        else:
            made |= _of_mapping(schema, definitions)
    return made


def _of_mapping(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Schema:
    values = schema.get("additionalProperties", True)
    inner = _structural(values, definitions) if isinstance(values, Mapping) else {}
    if not inner.get("type"):
        return {"x-kubernetes-preserve-unknown-fields": True, "maxProperties": _MOST_ITEMS}
    return {"additionalProperties": inner, "maxProperties": _MOST_ITEMS}


def _exclusive(schema: Mapping[str, Any], made: Schema) -> None:
    """OpenAPI 3.0 has exclusive bounds as a flag."""
    for bound, flag in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if flag in schema:
            made[bound], made[flag] = schema[flag], True


def _any_of(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Schema:
    """One of several: `null` is left out, and numbers and texts together are an int or a string."""
    parts = [part for part in schema["anyOf"] if part.get("type") != "null"]
    rest = {key: value for key, value in schema.items() if key != "anyOf"}
    if len(parts) == 1:
        return _structural({**parts[0], **rest}, definitions)
    made = {key: rest[key] for key in ("description", "default") if rest.get(key) is not None}
    return made | {"x-kubernetes-preserve-unknown-fields": True}  # such as a quantity: 1, 0.5 or "500m"


def write(folder: Path) -> list[Path]:
    """Write every definition into a folder; the files."""
    paths = []
    for name, body in definitions().items():
        path = folder / name
        text = yaml.dump(body, Dumper=_Plain, sort_keys=True, width=110, allow_unicode=True)
        path.write_text(f"# Generated by python -m sluice.operator.custom_resources\n{text}", encoding="utf-8")
        paths.append(path)
    return paths


class _Plain(yaml.SafeDumper):
    """YAML without anchors: what is used twice is written twice."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ANN401, ARG002
        return True


__all__ = ["API_VERSION", "definition", "definitions", "structural", "write"]

if __name__ == "__main__":
    write(Path(sys.argv[1]))
