"""No symbolic link in a lake, a store or a published folder leads out of it: what it points to is never shown."""

import shutil
from pathlib import Path

import pytest

from sluice.artifacts.bundles import local_copy, open_bundle
from sluice.artifacts.manifests import MANIFEST
from sluice.components.ingest.run import run
from sluice.core.errors import BadInput
from sluice.modeling.model_files import MODEL, load_model, save_model
from sluice.storage.stores import open_store
from tests.unit import small_world

SECRET = "root:x:0:0:secret"
CONTRACT = "name: t\ntables:\n  t:\n    source: {%s}\n    columns: {a: {type: int64}}\n"
SOURCES = {"t.csv": "csv: '*.csv'", "t.json": "json: t.json", "t.db": "sql: 'sqlite:///t.db', table: t"}


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "outside" / "passwd"
    path.parent.mkdir()
    path.write_text(f"{SECRET}\n")
    return path


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SLUICE_STORE", str(tmp_path / "store"))
    (tmp_path / "lake").mkdir()
    return tmp_path / "lake"


def _refused(lake: Path, name: str) -> None:
    with pytest.raises(BadInput, match="leads out") as caught:
        run(str(lake), summary=lake.parent / "summary.md")
    assert name in str(caught.value)
    assert SECRET not in str(caught.value)
    assert not (lake.parent / "store" / "datasets").exists()


def test_a_contract_that_is_a_link_out_of_the_lake(lake: Path, secret: Path) -> None:
    (lake / "contract.yaml").symlink_to(secret)
    _refused(lake, "contract.yaml")


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("relative", [False, True])
def test_a_source_that_is_a_link_out_of_the_lake(lake: Path, secret: Path, name: str, relative: bool) -> None:
    (lake / "contract.yaml").write_text(CONTRACT % SOURCES[name])
    (lake / name).symlink_to(Path("../outside/passwd") if relative else secret)
    _refused(lake, name)


def test_a_source_under_a_folder_that_is_a_link_out_of_the_lake(lake: Path, secret: Path) -> None:
    (lake / "contract.yaml").write_text(CONTRACT % "csv: 'sub/*'")
    (lake / "sub").symlink_to(secret.parent)
    _refused(lake, "sub/passwd")


def test_a_link_in_a_circle(lake: Path) -> None:
    (lake / "contract.yaml").write_text(CONTRACT % "csv: 't.csv'")
    (lake / "t.csv").symlink_to("t.csv")
    with pytest.raises(BadInput, match=r"t\.csv"):
        run(str(lake), summary=lake.parent / "summary.md")


def test_links_inside_a_lake_and_a_link_to_the_lake_are_fine(lake: Path) -> None:
    (lake / "contract.yaml").write_text(CONTRACT % "csv: t.csv")
    (lake / "2026.csv").write_text("a\n1\n2\n")
    (lake / "t.csv").symlink_to("2026.csv")
    (lake.parent / "link").symlink_to(lake)
    assert run(str(lake.parent / "link"), summary=lake.parent / "summary.md").rows == 2


def test_a_store_opens_no_key_behind_a_link_out(tmp_path: Path, secret: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    store.put_bytes("a", b"1")
    (tmp_path / "store" / "b").symlink_to(secret)
    (tmp_path / "store" / "c").symlink_to(secret.parent)
    for key in ("b", "c/passwd"):
        for use in (store.get_bytes, store.exists, store.delete, store.local_path):
            with pytest.raises(BadInput, match="leads out"):
                use(key)
        with pytest.raises(BadInput, match="leads out"):
            store.put_bytes(key, b"x")
    assert secret.read_text() == f"{SECRET}\n"


def test_a_published_folder_whose_file_is_a_link_out(
    tmp_path: Path, secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even with the right content: what its digest was taken of may change behind it."""
    monkeypatch.setenv("SLUICE_STORE", str(tmp_path / "store"))
    bundle = small_world.splits(rows=100)
    path = Path(bundle.uri) / bundle.manifest.files[0].path
    shutil.move(path, secret)
    path.symlink_to(secret)
    with pytest.raises(BadInput, match="leads out"), local_copy(open_bundle(bundle.uri)):
        pass
    manifest = Path(bundle.uri) / MANIFEST
    shutil.move(manifest, secret)
    manifest.symlink_to(secret)
    with pytest.raises(BadInput, match="leads out"):
        open_bundle(bundle.uri)


def test_a_model_whose_description_is_a_link_out(tmp_path: Path, secret: Path) -> None:
    save_model(tmp_path / "model", small_world.zero_rule(), small_world.TASK)
    shutil.move(tmp_path / "model" / MODEL, secret)
    (tmp_path / "model" / MODEL).symlink_to(secret)
    with pytest.raises(BadInput, match="leads out"):
        load_model(tmp_path / "model")
