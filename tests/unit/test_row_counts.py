"""What comes into a step goes out or is left out with a reason, and a manifest that tells otherwise is refused."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pytest

from sluice.artifacts.bundles import Bundle
from sluice.artifacts.manifests import Producer, TableEntry
from sluice.core.errors import BadInput, SluiceError
from sluice.engine import datasets
from sluice.engine.datasets import read_dataset, write_dataset
from sluice.engine.row_counts import reconcile
from sluice.storage.stores import open_store


@pytest.fixture
def dataset(tmp_path: Path) -> Bundle:
    table = ibis.duckdb.connect().create_table("t", pa.table({"a": [1, 2, 3]}))
    return write_dataset(open_store(str(tmp_path)), {"rows": table}, Producer("prepare"))


def test_what_adds_up_passes() -> None:
    reconcile("step x", 10, {"train": 6, "test": 3}, {"cancelled": 1})


@pytest.mark.parametrize(
    ("out", "left"), [({"rows": 8}, {"cancelled": 1}), ({"rows": 10}, {"cancelled": 1}), ({}, None)]
)
def test_what_does_not_is_told_with_every_number(out: dict[str, int], left: dict[str, int] | None) -> None:
    with pytest.raises(SluiceError, match=r"step x: 10 rows came in, .* not accounted for, so nothing was published"):
        reconcile("step x", 10, out, left)


def test_a_dataset_of_other_rows_than_were_counted_is_not_published(tmp_path: Path) -> None:
    table = ibis.duckdb.connect().create_table("t", pa.table({"a": [1, 2, 3]}))
    with pytest.raises(SluiceError, match=r"table 'rows' of sample: 4 rows came in, 3 go out"):
        write_dataset(open_store(str(tmp_path)), {"rows": table}, Producer("sample"), expected={"rows": 4})
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rows": 4}, "table 'rows' has 3 rows where the manifest says 4"),
        ({"rows": 2}, "table 'rows' has 3 rows where the manifest says 2"),
        ({"columns": {"a": "string"}}, "has other columns than the manifest says"),
        ({"columns": {"a": "int64", "b": "int64"}}, "has other columns than the manifest says"),
    ],
)
def test_a_manifest_that_tells_other_rows_than_its_files_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], said: str
) -> None:
    """Its id is right: whoever wrote it has counted wrongly, or lies."""

    def lying(files: tuple[str, ...], rows: int, columns: dict[str, str]) -> TableEntry:
        return replace(TableEntry(files, rows, columns), **change)

    table = ibis.duckdb.connect().create_table("t", pa.table({"a": [1, 2, 3]}))
    monkeypatch.setattr(datasets, "TableEntry", lying)
    written = write_dataset(open_store(str(tmp_path)), {"rows": table}, Producer("prepare"))
    with pytest.raises(BadInput) as caught, read_dataset(written.uri):
        pass
    assert said in str(caught.value)


@pytest.mark.parametrize("rows", [True, "3", 0, 3.0, None])
def test_a_number_of_rows_that_is_none_is_refused(dataset: Bundle, rows: object) -> None:
    path = Path(dataset.uri) / "manifest.json"
    body = json.loads(path.read_text())
    body["tables"]["rows"]["rows"] = rows
    path.write_text(json.dumps(body))
    with pytest.raises(BadInput, match="is not a manifest"), read_dataset(dataset.uri):
        pass


def test_a_key_twice_in_a_manifest_is_refused(dataset: Bundle) -> None:
    path = Path(dataset.uri) / "manifest.json"
    path.write_text(path.read_text().replace('"design": {}', '"design": {}, "design": {}'))
    with (
        pytest.raises(BadInput, match="the key 'design' stands twice in one object; keep one"),
        read_dataset(dataset.uri),
    ):
        pass
