"""Published folders on every store: whole or not at all, and every later change noticed."""

import dataclasses
import json
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sluice.artifacts.bundles import Bundle, bundle_key, file_entries, local_copy, open_bundle, publish
from sluice.artifacts.manifests import MANIFEST, FileEntry, Manifest, Producer, TableEntry
from sluice.core.errors import BadInput
from sluice.storage.stores import Store

PRODUCER = Producer("sample", {"seed": 1})
CONTENT = {"rows/part-0.parquet": b"PAR1 would stand here", "notes.json": b"{}", "deep/er/empty": b""}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A local folder to publish."""
    for name, data in CONTENT.items():
        path = tmp_path / "folder" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path / "folder"


def key(bundle: Bundle, name: str) -> str:
    return f"{bundle_key(bundle.manifest.kind, bundle.id)}/{name}"


def read(bundle: Bundle) -> dict[str, bytes]:
    with local_copy(bundle) as place:
        return {entry.path: (place / entry.path).read_bytes() for entry in bundle.manifest.files}


def test_what_was_published_is_read_back(store: Store, folder: Path) -> None:
    published = publish(store, folder, "dataset", PRODUCER, details={"note": "é"})
    opened = open_bundle(published.uri, "dataset")
    assert opened == published
    assert opened.id in opened.uri
    assert read(opened) == CONTENT
    assert sorted(store.keys()) == sorted(key(opened, name) for name in (*CONTENT, MANIFEST))


def test_publishing_again_writes_nothing(store: Store, folder: Path) -> None:
    first = publish(store, folder, "dataset", PRODUCER)
    before = store.get_bytes(key(first, MANIFEST))
    store.delete(key(first, "notes.json"))
    later = dataclasses.replace(PRODUCER, created="2030-01-01T00:00:00+00:00", run="another")
    second = publish(store, folder, "dataset", later)
    assert second == first
    assert store.get_bytes(key(first, MANIFEST)) == before
    assert not store.exists(key(first, "notes.json"))


def test_another_derivation_is_another_address(store: Store, folder: Path) -> None:
    one = publish(store, folder, "dataset", PRODUCER)
    two = publish(store, folder, "dataset", Producer("sample", {"seed": 2}))
    assert one.uri != two.uri
    assert read(one) == read(two)


def test_two_writers_at_once_publish_one_whole_folder(store: Store, folder: Path) -> None:
    gate, made = threading.Barrier(4), []

    def write(run: str) -> None:
        gate.wait(timeout=30)
        made.append(publish(store, folder, "dataset", dataclasses.replace(PRODUCER, run=run)))

    threads = [threading.Thread(target=write, args=(f"run-{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert len(made) == 4
    assert {bundle.uri for bundle in made} == {made[0].uri}
    assert read(open_bundle(made[0].uri)) == CONTENT
    assert open_bundle(made[0].uri).manifest.producer.run in {f"run-{n}" for n in range(4)}


def test_the_manifest_comes_last(store: Store, folder: Path) -> None:
    entries = (*file_entries(folder), FileEntry("zzz/vanished", 1, "a" * 64))
    with pytest.raises(BadInput, match="zzz/vanished is not there"):
        publish(store, folder, "dataset", PRODUCER, files=entries)
    address = bundle_key("dataset", Manifest("dataset", entries, PRODUCER).id)
    assert sorted(store.keys()) == sorted(f"{address}/{name}" for name in CONTENT)
    with pytest.raises(BadInput, match=r"has no manifest\.json: it was never published whole"):
        open_bundle(f"{store.uri}/{address}")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: data[:-3], "has 18 bytes where the manifest says 21"),
        (lambda data: data + b"x", "has 22 bytes where the manifest says 21"),
        (lambda data: b"x" + data[1:], "differs from its SHA-256"),
    ],
)
def test_a_changed_file_is_named(store: Store, folder: Path, change: object, said: str) -> None:
    bundle = publish(store, folder, "dataset", PRODUCER)
    assert callable(change)
    store.put_bytes(key(bundle, "rows/part-0.parquet"), change(CONTENT["rows/part-0.parquet"]))
    with pytest.raises(BadInput, match=rf"rows/part-0\.parquet {said}") as caught:
        read(open_bundle(bundle.uri))
    assert bundle.uri in str(caught.value)


def test_a_missing_file_is_named(store: Store, folder: Path) -> None:
    bundle = publish(store, folder, "dataset", PRODUCER)
    store.delete(key(bundle, "notes.json"))
    with pytest.raises(BadInput, match=r"notes\.json is (missing|not there)"):
        read(open_bundle(bundle.uri))


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_changed_byte_is_noticed(store: Store, folder: Path, data: st.DataObject) -> None:
    bundle = publish(store, folder, "dataset", PRODUCER)
    name = data.draw(st.sampled_from(sorted(name for name in CONTENT if CONTENT[name])))
    at = data.draw(st.integers(0, len(CONTENT[name]) - 1))
    flipped = bytearray(CONTENT[name])
    flipped[at] ^= data.draw(st.integers(1, 255))
    store.put_bytes(key(bundle, name), bytes(flipped))
    with pytest.raises(BadInput, match="differs from its SHA-256"):
        read(open_bundle(bundle.uri))
    store.put_bytes(key(bundle, name), CONTENT[name])
    assert read(open_bundle(bundle.uri)) == CONTENT


def test_a_manifest_of_other_content_is_refused(store: Store, folder: Path) -> None:
    bundle = publish(store, folder, "dataset", PRODUCER)
    body = json.loads(bundle.manifest.to_json())
    body["producer"]["parameters"]["seed"] = 2
    store.put_bytes(key(bundle, MANIFEST), json.dumps(body).encode())
    with pytest.raises(BadInput, match="does not match"):
        open_bundle(bundle.uri)


def test_a_truncated_manifest_is_refused(store: Store, folder: Path) -> None:
    bundle = publish(store, folder, "dataset", PRODUCER)
    store.put_bytes(key(bundle, MANIFEST), bundle.manifest.to_json()[:-20])
    with pytest.raises(BadInput, match="is not a manifest"):
        open_bundle(bundle.uri)


def test_a_folder_of_another_kind_is_refused(store: Store, folder: Path) -> None:
    bundle = publish(store, folder, "dataset", PRODUCER)
    with pytest.raises(BadInput, match="is a dataset, where a model is wanted"):
        open_bundle(bundle.uri, "model")


@pytest.mark.parametrize("path", ["../../outside", "/etc/hostname", "a/../../outside"])
def test_no_path_leads_out(store: Store, tmp_path: Path, path: str) -> None:
    """Whoever may write to the store can write a manifest whose id is right; its paths still stay inside."""
    inside = FileEntry("rows/part-0.parquet", 1, "a" * 64)
    crafted = [
        Manifest("dataset", (FileEntry(path, 1, "a" * 64),), PRODUCER),
        Manifest("dataset", (inside,), PRODUCER, tables={"rows": TableEntry((path,), 1, {"a": "int64"})}),
    ]
    for manifest in crafted:
        store.put_bytes(f"datasets/{manifest.id}/{MANIFEST}", manifest.to_json())
        with pytest.raises(BadInput, match="is not a manifest"):
            open_bundle(f"{store.uri}/datasets/{manifest.id}")
    assert not list(tmp_path.rglob("outside"))
