"""The manifest's id follows from files and derivation, and a reader refuses what does not match."""

import dataclasses
import hashlib
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.artifacts.manifests import FileEntry, Manifest, Producer, TableEntry, parse_manifest
from sluice.artifacts.producer import producer
from sluice.core.errors import BadInput

ENTRY = FileEntry("rows/part-0.parquet", 10, "a" * 64)
MANIFEST = Manifest(
    kind="dataset",
    files=(ENTRY,),
    producer=Producer("sample", {"seed": 1}, run="r1", created="2026-01-01T00:00:00+00:00"),
    parents=("b" * 64,),
    tables={"rows": TableEntry((ENTRY.path,), 3, {"a": "int64"})},
    design={"strategy": "stratified"},
    details={"sources": [{"sha256": "d" * 64}], "task": {"name": "late"}},
    notes={"lake": "here"},
)


def test_reading_gives_back_what_was_written() -> None:
    assert parse_manifest(MANIFEST.to_json(), "here") == MANIFEST


def test_time_run_commit_and_notes_stay_outside_the_id() -> None:
    other = dataclasses.replace(MANIFEST.producer, run="r2", commit="c", created="2027-01-01T00:00:00+00:00")
    assert dataclasses.replace(MANIFEST, producer=other, notes={"lake": "there"}).id == MANIFEST.id


def test_a_whole_number_is_one_whichever_way_it_came() -> None:
    """A laptop hands on 1.0; KFP's API gives the same parameter back as 1."""
    given = [producer("sample", {"fraction": one, "shares": [one, 0.5], "task": {"least": one}}) for one in (1, 1.0)]
    ids = {dataclasses.replace(MANIFEST, producer=each).id for each in given}
    assert len(ids) == 1
    assert json.dumps(given[1].parameters) == '{"fraction": 1, "shares": [1, 0.5], "task": {"least": 1}}'


def test_a_manifest_of_the_first_version_keeps_its_id() -> None:
    old = dataclasses.replace(MANIFEST, version=1, notes={})
    body = json.loads(old.to_json())
    assert recomputed_id(body) == old.id != MANIFEST.id
    assert parse_manifest(json.dumps(body).encode(), "here") == old
    del body["notes"]  # none was written then
    assert parse_manifest(json.dumps(body).encode(), "here").id == old.id


def test_a_manifest_is_not_passed_off_as_one_of_the_first_version() -> None:
    body = json.loads(MANIFEST.to_json())
    body |= {"version": 1, "details": {"sources": [{"sha256": "e" * 64}]}}
    with pytest.raises(BadInput, match="does not match"):
        parse_manifest(json.dumps(body).encode(), "here")
    body["id"] = recomputed_id(body)  # it agrees with itself, but not with the id that others name
    assert parse_manifest(json.dumps(body).encode(), "here").id != MANIFEST.id


@pytest.mark.parametrize(
    "change",
    [
        {"parents": ("c" * 64,)},
        {"design": {"strategy": "simple"}},
        {"producer": Producer("sample", {"seed": 2})},
        {"producer": Producer("split", {"seed": 1})},
        {"files": (FileEntry(ENTRY.path, 10, "c" * 64),)},
        {"kind": "model"},
        {"tables": {"rows": TableEntry((ENTRY.path,), 4, {"a": "int64"})}},
        {"tables": {"rows": TableEntry((ENTRY.path,), 3, {"a": "int32"})}},
        {"details": {"sources": [{"sha256": "c" * 64}]}},
        {"details": {"task": {"name": "early"}}},
    ],
)
def test_each_part_of_content_and_derivation_changes_the_id(change: dict) -> None:
    assert dataclasses.replace(MANIFEST, **change).id != MANIFEST.id


def test_a_changed_digest_is_refused() -> None:
    body = json.loads(MANIFEST.to_json())
    body["files"][0]["sha256"] = "f" * 64
    with pytest.raises(BadInput, match="does not match"):
        parse_manifest(json.dumps(body).encode(), "here")


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../x", "", "manifest.json"])
def test_a_path_that_leaves_the_folder_is_refused(path: str) -> None:
    manifest = dataclasses.replace(MANIFEST, files=(FileEntry(path, 10, "a" * 64),), tables={})
    with pytest.raises(BadInput):
        parse_manifest(manifest.to_json(), "here")


def test_another_version_is_named() -> None:
    body = json.loads(MANIFEST.to_json()) | {"version": 99}
    with pytest.raises(BadInput, match="version 99"):
        parse_manifest(json.dumps(body).encode(), "here")


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_as_no_manifest(data: bytes) -> None:
    with pytest.raises(BadInput, match=r"^here/manifest\.json is not a manifest \(.+\); publish the folder again$"):
        parse_manifest(data, "here")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def recomputed_id(body: dict[str, Any]) -> str:
    """The id as docs/contracts.md words it: over the files' digests and the derivation."""
    derivation = {name: body["producer"][name] for name in ("step", "parameters")}
    derivation |= {name: body[name] for name in ("parents", "design")}
    files = [[entry["path"], entry["size"], entry["sha256"]] for entry in body["files"]]
    content = {"kind": body["kind"], "files": files, "derivation": derivation}
    if body["version"] == 2:
        content |= {name: body[name] for name in ("version", "tables", "details")}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


@given(st.sampled_from(sorted(json.loads(MANIFEST.to_json()))), _JSON)
def test_a_wrong_field_is_kept_where_it_may_change_and_refused_elsewhere(field: str, value: object) -> None:
    body = json.loads(MANIFEST.to_json())
    assert recomputed_id(body) == body["id"] == MANIFEST.id
    if body[field] == value:
        return
    changed = body | {field: value}
    try:
        read = parse_manifest(json.dumps(changed).encode(), "here")
    except BadInput as error:
        said = str(error)
        assert re.match(r"here/manifest\.json (is not a manifest \(|does not match: it states id|has version )", said)
        assert ("has version" in said) == (field == "version")
        assert field != "notes" or not isinstance(value, dict)
    else:
        assert field == "notes", "another one is part of the id"
        again = json.loads(read.to_json())
        assert again[field] == dict(value or {})
        assert {name: again[name] for name in body if name != field} == {n: body[n] for n in body if n != field}
