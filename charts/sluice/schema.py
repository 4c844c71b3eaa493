"""What the chart holds in a second form: values.schema.json, docs/values.md, and the custom resource definitions.

`python charts/sluice/schema.py` writes what differs; with --check it only names that, and ends with 1 if there is any.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parent
ROOT = CHART.parents[1]
REFERENCE = ROOT / "docs" / "values.md"
HEAD = """# Values of the chart

Every setting of `charts/sluice`, with its default. Generated from `values.schema.yaml` and `values.yaml` by
`python charts/sluice/schema.py`. A name that is not here is refused.
"""


def closed(schema: Any) -> Any:  # noqa: ANN401 - whatever YAML holds
    """The schema with `additionalProperties: false` wherever properties are listed and nothing is said of others."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    listed = {key: closed(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        listed.setdefault("additionalProperties", False)
    return listed


def settings(schema: dict[str, Any], values: Any, path: str = "") -> Iterator[tuple[str, str, str]]:  # noqa: ANN401
    """Name, default and description of each setting below `schema`, in its order.

    Objects that the schema lists item by item are entered; those that it defines once ($ref) are one setting.
    """
    for name, part in schema["properties"].items():
        here, default = f"{path}{name}", (values or {}).get(name)
        if "properties" in part:
            yield from settings(part, default, f"{here}.")
        elif name != "global":
            yield here, default_text(default), part.get("description", "")


def default_text(value: Any) -> str:  # noqa: ANN401
    """A default as one writes it in YAML, on one line; an image as its reference."""
    if isinstance(value, dict) and set(value) == {"repository", "tag", "digest"}:
        return f"`{value['repository']}{':' + value['tag'] if value['tag'] else ''}`"
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10_000)
    return f"`{text.removesuffix('...' + chr(10)).strip()}`"


def described(part: dict[str, Any], definitions: dict[str, Any]) -> str:
    """A description, or that of the definition that the part refers to."""
    reference = str(part.get("$ref", "")).removeprefix("#/$defs/")
    return str(part.get("description") or definitions.get(reference, {}).get("description", ""))


def with_descriptions(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """The schema whose settings have their definition's description where they have none of their own."""
    properties = {
        name: with_descriptions(part, definitions) if "properties" in part
        else {**part, "description": described(part, definitions)}
        for name, part in schema["properties"].items()
    }  # fmt: skip
    return {**schema, "properties": properties}


def reference(schema: dict[str, Any], values: dict[str, Any]) -> str:
    """The text of docs/values.md: a table for each top-level section."""
    lines = [HEAD]
    complete = with_descriptions(schema, schema["$defs"])
    for name, part in complete["properties"].items():
        if name == "global":
            continue
        nested = "properties" in part
        lines += [f"## {name}\n"] + ([f"{part['description']}\n"] if nested else [])
        rows = settings({"properties": {name: part}}, values)
        lines += ["| name | default | |", "|---|---|---|"]
        lines += [f"| `{row[0]}` | {row[1].replace('|', chr(92) + '|')} | {row[2]} |" for row in rows] + [""]
    return "\n".join(lines)


def products() -> dict[Path, str]:
    """Every generated file and its text."""
    schema = yaml.safe_load((CHART / "values.schema.yaml").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    made = {
        CHART / "values.schema.json": json.dumps(closed(schema), indent=1) + "\n",
        REFERENCE: reference(schema, values),
    }
    for source in sorted((ROOT / "manifests" / "crds").glob("*.yaml")):
        made[CHART / "files" / "crds" / source.name] = source.read_text()
    return made


def stale() -> list[Path]:
    """Generated files that are missing, differ, or have lost their source."""
    made = products()
    differ = [path for path, text in made.items() if not path.is_file() or path.read_text() != text]
    return differ + [path for path in sorted((CHART / "files" / "crds").glob("*.yaml")) if path not in made]


def main(arguments: list[str]) -> int:
    """Write what is stale, or with --check only name it."""
    paths, made = stale(), products()
    if arguments == ["--check"]:
        for path in paths:
            print(f"{path.relative_to(ROOT)} is not what `python charts/sluice/schema.py` makes", file=sys.stderr)
        return 1 if paths else 0
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(made[path]) if path in made else path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
