"""A bundle is written beside its store and renamed into it, where both share a disk."""

import errno
from pathlib import Path

import pytest

from sluice.artifacts.bundles import open_bundle, publish, workspace
from sluice.artifacts.manifests import Producer
from sluice.core.errors import BadInput
from sluice.storage.stores import Store, open_store


def test_a_published_file_is_the_one_that_was_written(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    with workspace(store) as folder:
        (folder / "rows").mkdir()
        (folder / "rows/part").write_bytes(b"content")
        written = (folder / "rows/part").stat().st_ino
        assert list(store.keys()) == [], "what is being written is no key"
        bundle = publish(store, folder, "dataset", Producer("test"), move=True)
    assert (Path(bundle.uri) / "rows/part").stat().st_ino == written
    assert [path.name for path in (tmp_path / "store").iterdir()] == ["datasets"]


def test_publishing_again_finds_it_there(store: Store) -> None:
    ids = []
    for _ in range(2):
        with workspace(store) as folder:
            (folder / "part").write_bytes(b"content")
            ids.append(publish(store, folder, "dataset", Producer("test"), move=True).id)
    assert ids[0] == ids[1]
    assert store.get_bytes(f"datasets/{ids[0]}/part") == b"content"
    assert open_bundle(f"{store.uri}/datasets/{ids[0]}").id == ids[0]


def test_on_another_disk_the_file_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(str(tmp_path / "store"))
    source = tmp_path / "source"
    source.write_bytes(b"content")
    replace = Path.replace

    def other_disk(path: Path, target: Path) -> Path:
        if path == source:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", other_disk)
    store.put_file("k", source, move=True)
    assert store.get_bytes("k") == b"content"


def test_a_store_in_the_way_of_a_file_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    store = open_store(str(tmp_path / "file"))
    with pytest.raises(BadInput, match="a file stands where a folder is needed"), workspace(store):
        pass
