"""What every store does, tested on a local folder and on a real S3 server alike."""

import secrets
import threading
import unicodedata
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sluice.core.bounds import Bound
from sluice.core.errors import BadInput
from sluice.storage.keys import check_key
from sluice.storage.local_store import LocalStore
from sluice.storage.stores import Store, open_store, plain_address
from tests.conftest import MinioServer
from tests.unit.fake_clouds import AzureHandler, GoogleHandler, Objects, cloud_settings, serving

MIB = 1 << 20


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.minio), "gs", "az"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """An empty store of each kind: what holds for one must hold for the others."""
    if request.param == "local":
        yield open_store(str(tmp_path / "store"))
    elif request.param == "s3":
        yield open_store(f"s3://{request.getfixturevalue('s3').bucket()}/some/prefix")
    else:
        objects = Objects()
        objects.tokens = {"of-a-test"}
        handler = GoogleHandler if request.param == "gs" else AzureHandler
        for address in serving(handler, objects):
            for name, value in cloud_settings(request.param, address).items():
                monkeypatch.setenv(name, value)
            yield open_store(f"{request.param}://lake/some/prefix")


parts = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cn", "Cs"), exclude_characters="/\\"), min_size=1
)
names = st.lists(parts.filter(lambda p: p not in (".", "..")), min_size=1, max_size=3).map("/".join)


def test_bytes_come_back_as_they_were(store: Store) -> None:
    for data in (b"", b"x", bytes(range(256)) * 5000):
        store.put_bytes("a/b", data)
        assert store.get_bytes("a/b") == data


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(key=names.filter(lambda key: len(key.encode()) < 190), data=st.binary(max_size=64))
def test_any_key_keeps_its_bytes_and_is_listed(store: Store, key: str, data: bytes) -> None:
    key = f"{secrets.token_hex(4)}/{key}"  # a local store cannot hold both `a` and `a/b`
    store.put_bytes(key, data)
    assert store.get_bytes(key) == data
    assert key in list(store.keys())
    store.delete(key)
    assert not store.exists(key)


@pytest.mark.parametrize("size", [0, MIB + 1, 8 * MIB, 8 * MIB + 1, 23 * MIB + 7])
def test_files_of_one_part_and_of_many(store: Store, tmp_path: Path, size: int) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes((bytes(range(251)) * (size // 251 + 1))[:size])
    store.put_file("deep/er/file", source)
    store.get_file("deep/er/file", target)
    assert target.read_bytes() == source.read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == ["source", "target"]


def test_writing_again_replaces(store: Store, tmp_path: Path) -> None:
    store.put_bytes("k", b"first, and longer")
    store.put_bytes("k", b"second")
    assert store.get_bytes("k") == b"second"
    store.get_file("k", tmp_path / "target")
    store.put_bytes("k", b"3")
    store.get_file("k", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == b"3"


def test_put_if_absent_never_replaces(store: Store) -> None:
    assert store.put_if_absent("k ä+%/x", b"mine")
    assert not store.put_if_absent("k ä+%/x", b"mine")
    assert not store.put_if_absent("k ä+%/x", b"yours")
    assert store.get_bytes("k ä+%/x") == b"mine"
    assert list(store.keys()) == ["k ä+%/x"]


def test_put_if_absent_has_one_winner_among_many_writers(store: Store) -> None:
    writers, rounds = 8, 5
    for turn in range(rounds):
        gate, won = threading.Barrier(writers), []

        def write(name: bytes, key: str = f"race/{turn}", gate: threading.Barrier = gate, won: list = won) -> None:
            gate.wait(timeout=30)
            if store.put_if_absent(key, name):
                won.append(name)

        threads = [threading.Thread(target=write, args=(b"writer %d" % n,)) for n in range(writers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=60)
        assert [store.get_bytes(f"race/{turn}")] == won


def test_exists_means_an_object_not_a_prefix(store: Store) -> None:
    store.put_bytes("a/b/c", b"")
    assert store.exists("a/b/c")
    assert not store.exists("a/b")
    assert not store.exists("a/b/c/d")
    assert not store.exists("elsewhere")


def test_keys_are_sorted_and_start_with_the_prefix(store: Store) -> None:
    stored = ["a/b/1", "a/b/10", "a/b/2", "a/bc", "a b+c%20", "ab", "é/x", "Z", "a-b", ".h", "..x/y"]
    for key in stored:
        store.put_bytes(key, b".")
    assert list(store.keys()) == sorted(stored)
    for prefix in ("a", "a/", "a/b", "a/b/", "a/b/1", "é", "none", "none/", "ab/", ".h", "..x", "..x/y"):
        assert list(store.keys(prefix)) == sorted(key for key in stored if key.startswith(prefix)), prefix


def test_keys_of_an_empty_store(store: Store) -> None:
    assert list(store.keys()) == []
    assert list(store.keys("x/")) == []


def test_more_keys_than_one_page_of_a_listing(store: Store) -> None:
    expected = [f"many/{n:05}" for n in range(1100)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: store.put_bytes(key, b""), expected))
    assert list(store.keys("many/")) == expected


def test_delete_removes_and_does_not_mind_absence(store: Store) -> None:
    store.put_bytes("k", b"x")
    store.delete("k")
    store.delete("k")
    assert not store.exists("k")
    with pytest.raises(BadInput, match=r"k is not there"):
        store.get_bytes("k")


def test_a_missing_object_is_named_and_leaves_no_file(store: Store, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"no/such is not there; check the address") as caught:
        store.get_file("no/such", tmp_path / "target")
    assert store.uri in str(caught.value)
    assert not (tmp_path / "target").exists()
    assert not list(tmp_path.glob(".*"))


def test_a_missing_source_is_named(store: Store, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=rf"{tmp_path}/nothing is not there"):
        store.put_file("k", tmp_path / "nothing")
    with pytest.raises(BadInput, match="is a folder where a file is wanted"):
        store.put_file("k", tmp_path)
    assert list(store.keys()) == []


@pytest.mark.parametrize(
    "key", ["", "/etc/passwd", "../x", "a/../../x", "a//b", "./a", "a/", "a\\b", "a\0b", ".", ".."]
)
def test_keys_cannot_leave_the_store(store: Store, tmp_path: Path, key: str) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"x")
    calls = [
        lambda: store.put_bytes(key, b""),
        lambda: store.put_file(key, source),
        lambda: store.put_if_absent(key, b""),
        lambda: store.get_bytes(key),
        lambda: store.get_file(key, tmp_path / "target"),
        lambda: store.exists(key),
        lambda: store.delete(key),
        lambda: store.local_path(key),
    ]
    for call in calls:
        with pytest.raises(BadInput, match="is no key of a store"):
            call()


@pytest.mark.parametrize("prefix", ["../", "..", "/", "/etc", "a//"])
def test_prefixes_cannot_leave_the_store(store: Store, prefix: str) -> None:
    with pytest.raises(BadInput, match="is no key of a store"):
        list(store.keys(prefix))


@given(st.text() | st.lists(st.sampled_from(["a", "", ".", "..", "é", "\\", "\0", " ", "~"]), max_size=5).map("/".join))
def test_a_key_passes_where_each_part_is_a_name_and_stays_inside(text: str) -> None:
    names = text.split("/")
    strange = [c for c in text if c == "\\" or unicodedata.category(c) in ("Cc", "Cn", "Cs")]
    right = not strange and all(name not in ("", ".", "..") for name in names)
    try:
        key = check_key(text)
    except BadInput as error:
        said = str(error)
        assert not right, said
        assert said.startswith(" ".join(repr(text).split()) + " is no key of a store")
    else:
        assert right
        inside = Path("/store") / key
        assert inside.resolve().is_relative_to("/store/")
        assert inside.relative_to("/store").as_posix() == key == text


def test_an_address_opens_the_same_store(store: Store) -> None:
    store.put_bytes("a/b/c", b"x")
    assert open_store(store.uri).get_bytes("a/b/c") == b"x"
    assert open_store(f"{store.uri}/a").get_bytes("b/c") == b"x"
    assert list(open_store(f"{store.uri}/a").keys()) == ["b/c"]
    assert list(open_store(f"{store.uri}/a/").keys("b")) == ["b/c"]


def test_local_path_is_the_file_or_none(store: Store) -> None:
    store.put_bytes("a/b", b"x")
    path = store.local_path("a/b")
    assert path is None if "://" in store.uri else path and path.read_bytes() == b"x"


@pytest.mark.parametrize("uri", ["", "https://user:secret@host/x", "ftp://bucket", "gcs://bucket/a"])
def test_addresses_of_no_store(uri: str) -> None:
    with pytest.raises(BadInput, match=r"s3://bucket/prefix") as caught:
        open_store(uri)
    assert "secret" not in str(caught.value)


def test_a_relative_local_address_starts_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = open_store("some/store")
    store.put_bytes("k", b"x")
    assert store.uri == str(tmp_path / "some/store")
    assert (tmp_path / "some/store/k").read_bytes() == b"x"


def test_local_files_follow_the_umask(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    store = LocalStore(tmp_path)
    store.put_bytes("a", b"x")
    store.put_if_absent("b", b"x")
    assert {(tmp_path / name).stat().st_mode for name in "ab"} == {(tmp_path / "plain").stat().st_mode}


def test_listing_a_local_store_while_it_is_written(tmp_path: Path) -> None:
    store, done, seen = LocalStore(tmp_path), threading.Event(), set()

    def write() -> None:
        for n in range(300):
            store.put_bytes(f"f{n % 7}/k{n}", b"x" * 1000)
            store.delete(f"f{n % 7}/k{n - 3}")
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not done.is_set():
        seen.update(store.keys())
    writer.join(timeout=60)
    assert seen <= {f"f{n % 7}/k{n}" for n in range(300)}


def test_files_and_folders_in_each_others_place(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.put_bytes("file", b"x")
    store.put_bytes("folder/file", b"x")
    with pytest.raises(BadInput, match="folder is a folder where a file is wanted"):
        store.get_bytes("folder")
    with pytest.raises(BadInput, match="folder is a folder where a file is wanted"):
        store.put_bytes("folder", b"y")
    with pytest.raises(BadInput, match="file stands where a folder is needed"):
        store.put_bytes("file/below", b"y")
    with pytest.raises(BadInput, match="name is too long"):
        store.put_bytes("n" * 300, b"y")
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["file", "file", "folder"]


@pytest.mark.minio
def test_a_store_keeps_the_scheme_that_it_was_opened_by(s3: "MinioServer") -> None:
    bucket = s3.bucket()
    guarded, plain = open_store(f"sluice+s3://{bucket}/a"), open_store(f"s3://{bucket}/a")
    guarded.put_bytes("key", b"value")
    assert plain.get_bytes("key") == b"value"
    assert guarded.uri == f"sluice+s3://{bucket}/a"
    assert plain_address(guarded.uri) == plain.uri == plain_address(plain.uri)
    assert plain_address("/a/folder") == "/a/folder"


def test_what_is_read_whole_is_bounded(store: Store, tmp_path: Path) -> None:
    """Before it is in memory; a file is not, which goes to the disk."""
    bound = Bound("bytes of a test", 100_000)
    for size in (100_000, 100_001, 12_000_000):
        store.put_bytes("k", bytes(size))
        if size <= bound.most:
            assert len(store.get_bytes("k", bound)) == size
            continue
        with pytest.raises(BadInput, match=r"/k: [\d,]+, and at most 100,000 bytes of a test are taken; make it sm"):
            store.get_bytes("k", bound)
        store.get_file("k", tmp_path / "k")
        assert (tmp_path / "k").stat().st_size == size
