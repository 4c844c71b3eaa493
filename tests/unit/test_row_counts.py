"""What comes into a step goes out or is left out with a reason, and a manifest that tells otherwise is refused."""

import json
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pytest

from components.common.bundles import Bundle
from components.common.datasets import read_dataset, write_dataset
from components.common.errors import BadInput, SluiceError
from components.common.manifests import Producer
from components.common.row_counts import reconcile
from components.common.stores import open_store


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


def _told(dataset: Bundle, change: dict[str, Any]) -> None:
    path = Path(dataset.uri) / "manifest.json"
    body = json.loads(path.read_text())
    body["tables"]["rows"] |= change
    path.write_text(json.dumps(body))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rows": 4}, "table 'rows' has 3 rows where the manifest says 4"),
        ({"rows": 2}, "table 'rows' has 3 rows where the manifest says 2"),
        ({"rows": True}, "is not a manifest"),
        ({"rows": "3"}, "is not a manifest"),
        ({"rows": 0}, "is not a manifest"),
        ({"columns": {"a": "string"}}, "has other columns than the manifest says"),
        ({"columns": {"a": "int64", "b": "int64"}}, "has other columns than the manifest says"),
    ],
)
def test_a_manifest_that_lies_is_refused(dataset: Bundle, change: dict[str, Any], said: str) -> None:
    """Rows and columns are not among what the id covers."""
    _told(dataset, change)
    with pytest.raises(BadInput) as caught, read_dataset(dataset.uri):
        pass
    assert said in str(caught.value)


def test_a_key_twice_in_a_manifest_is_refused(dataset: Bundle) -> None:
    path = Path(dataset.uri) / "manifest.json"
    path.write_text(path.read_text().replace('"design": {}', '"design": {}, "design": {}'))
    with (
        pytest.raises(BadInput, match="the key 'design' stands twice in one object; keep one"),
        read_dataset(dataset.uri),
    ):
        pass
