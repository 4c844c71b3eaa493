"""What is read from outside is bounded before memory or time is given, and each refusal names the bound."""

import re
from pathlib import Path

import pytest

from sluice.core import bounds
from sluice.core.bounds import EVERY, Bound
from sluice.core.errors import LONGEST_MESSAGE, BadInput, SluiceError, shortened
from sluice.core.json_documents import parse_json
from sluice.core.variable_kinds import whole
from sluice.core.variables import VariableGroup
from tests.unit.bounded import ROOT, run_bounded

READ_JSON = """
from pathlib import Path
from sluice.contract.reading import Column
from sluice.sources.json_tables import read_json
from sluice.sources.source_files import SourceFile
path = Path({path!r})
"""


def test_the_table_of_bounds_is_whole() -> None:
    """docs/contracts.md says each bound's name, its default and the variable that raises it; settings.md has these."""
    text = (ROOT / "docs" / "contracts.md").read_text()
    table = dict(re.findall(r"^\| ([^|]+?) \| ([\d,]+(?: \| `\w+`)?)", text, re.MULTILINE))
    stated = {name: value.replace(" | ", " ").replace("`", "") for name, value in table.items()}
    wanted = {bound.name: f"{bound.default:,} {bound.variable}".strip() for bound in EVERY}
    assert stated == {**wanted, "characters of an error line": f"{LONGEST_MESSAGE:,}"}
    assert {bound for bound in vars(bounds).values() if isinstance(bound, Bound)} == set(EVERY)


def test_a_refusal_names_the_bound_and_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    class Apples(VariableGroup):
        most = whole("SLUICE_TEST_APPLES", least=1, most=2000, default=10)

    bound = Bound.set_by(Apples.most, "apples")
    bound.check(10, "a.csv", "eat some")
    with pytest.raises(BadInput) as caught:
        bound.check(1100, "a.csv", "eat some")
    assert str(caught.value) == ("a.csv: 1,100, and at most 10 apples are taken; eat some, or raise SLUICE_TEST_APPLES")
    monkeypatch.setenv("SLUICE_TEST_APPLES", "1100")
    bound.check(1100, "a.csv", "eat some")


@pytest.mark.parametrize("bound", [bound for bound in EVERY if bound.variable], ids=lambda bound: bound.variable)
@pytest.mark.parametrize("value", ["lots", "0", "-1", "1e9", "inf", "nan"])
def test_a_variable_that_is_no_number_is_named(bound: Bound, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(bound.variable, value)
    with pytest.raises(BadInput, match=bound.variable):
        bound.check(1, "a", "b")


@pytest.mark.parametrize("length", [0, 1, LONGEST_MESSAGE, LONGEST_MESSAGE + 1, 20_000_000])
def test_a_message_is_cut_in_the_middle(length: int) -> None:
    many = "a b\n" * (length // 4)
    message = f"t.csv, line 2: {many}; mend the line"
    said = str(SluiceError(message))
    assert len(said) <= LONGEST_MESSAGE
    assert said.startswith("t.csv, line 2: ")
    assert said.endswith("; mend the line")
    assert ("left out" in said) == (len(message) > LONGEST_MESSAGE)
    assert "\n" not in said
    assert shortened(said) == said


def test_a_message_of_many_millions_takes_no_memory() -> None:
    body = "text = 'a ' * 5_000_000\nraise BadInput(text)"
    done = run_bounded("from sluice.core.errors import BadInput", body)
    assert "characters left out" in done.said
    assert done.mib < 30


@pytest.mark.parametrize("content", ["{},", "[],", '{"a": 0},', "1,", '"",'])
def test_json_of_very_many_values(tmp_path: Path, content: str) -> None:
    path = tmp_path / "t.json"
    size = 16 << 20
    path.write_text(f"[{content * (size // len(content))}{content[:-1]}]")
    body = "read_json(SourceFile(path, 't.json'), {'a': Column('int64')}, path.with_suffix('.parquet'))"
    done = run_bounded(READ_JSON.format(path=str(path)), body, SLUICE_JSON_VALUES="1000000")
    assert "t.json: " in done.said
    assert "at most 1,000,000 values in a JSON file are taken" in done.said
    assert "SLUICE_JSON_VALUES" in done.said
    assert done.mib < 40


def test_the_bound_on_json_values_is_counted_not_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_JSON_VALUES", "7")
    assert parse_json(b'[{"a": 1}, {"a": [2, 3]}]', "t.json") == [{"a": 1}, {"a": [2, 3]}]
    with pytest.raises(BadInput, match=r"t\.json: 9, and at most 7 values"):
        parse_json(b'[{"a": 1}, {"a": [2, 3, 4]}, {}]', "t.json")


READ_SQL = """
import sqlite3
from contextlib import closing
from pathlib import Path
from sluice.contract.reading import Column, TableContract
from sluice.sources.databases import locate
from sluice.sources.sql_tables import read_sql
folder = Path({folder!r})
columns = {{"a": Column("int64"), "b": Column("string", nullable=True)}}
contract = TableContract({{"sql": "sqlite:///t.db", "table": "t"}}, columns, ("a",))
with closing(sqlite3.connect(folder / "t.db")) as database:
    database.executescript({script!r})
"""
NUMBERS = "WITH RECURSIVE n(a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM n{last}) SELECT a, {b} AS b FROM n"
READ = "read_sql(locate(folder, 'sqlite:///t.db'), contract, folder / 't.parquet')"


def _read_sql(folder: Path, script: str, **variables: str) -> tuple[str, float]:
    done = run_bounded(READ_SQL.format(folder=str(folder), script=script), READ, TMPDIR=str(folder), **variables)
    assert done.said == "done" or not list(folder.glob("*.parquet"))
    return done.said, done.mib


def test_a_view_that_never_ends_is_broken_off(tmp_path: Path) -> None:
    view = f"CREATE VIEW t AS {NUMBERS.format(last='', b='NULL')} WHERE a < 0;"
    said, _ = _read_sql(tmp_path, view, SLUICE_SQL_SECONDS="1")
    assert said.startswith("BadInput: t.db, table 't': at most 1 seconds without a row from an SQLite file are taken")


def test_a_view_that_sorts_without_end_is_broken_off(tmp_path: Path) -> None:
    """Its temporary file has no name: only the process that holds it open can see it grow."""
    view = f"CREATE VIEW t AS {NUMBERS.format(last='', b='hex(randomblob(1000))')};"
    said, mib = _read_sql(tmp_path, view, SLUICE_SQL_BYTES=str(64 << 20))
    assert said.startswith("BadInput: t.db, table 't': at most 67,108,864 bytes that a table or view of an SQLite file")
    assert mib < 300


def test_a_view_of_huge_values_is_refused_before_they_are_made(tmp_path: Path) -> None:
    view = f"CREATE VIEW t AS {NUMBERS.format(last=' LIMIT 40', b='hex(zeroblob(100000000))')};"
    said, mib = _read_sql(tmp_path, view)
    assert said.startswith("BadInput: t.db, table 't': a value is too big: at most 4,194,304 bytes of one value")
    assert mib < 150


def test_a_view_of_many_large_values_takes_little_memory_and_is_refused_in_the_end(tmp_path: Path) -> None:
    b = "hex(zeroblob(1000000 + a))"
    view = f"CREATE VIEW t AS {NUMBERS.format(last=' LIMIT 400', b=b)};"
    said, mib = _read_sql(tmp_path, view, SLUICE_SQL_BYTES=str(1 << 28))
    assert said.startswith("BadInput: t.db, table 't': at most 268,435,456 bytes that a table or view")
    assert mib < 1000


def test_a_large_stored_value_within_the_bound_is_read(tmp_path: Path) -> None:
    script = "CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT); INSERT INTO t VALUES (1, hex(zeroblob(2000000)));"
    assert _read_sql(tmp_path, script)[0] == "done"
    (tmp_path / "t.parquet").unlink()
    assert "bytes of one value" in _read_sql(tmp_path, "UPDATE t SET b = b || b;", SLUICE_VALUE_BYTES="5000000")[0]


def _skops(folder: Path, change: str) -> tuple[str, float]:
    """What reading a changed model says, and the memory that it took."""
    setup = f"""
import io, json, zipfile
from pathlib import Path
import numpy as np
import sklearn.ensemble, sklearn.linear_model, sklearn.pipeline, sklearn.preprocessing
from sluice.modeling.skops_files import read_skops, write_skops
path = Path({str(folder / "model.skops")!r})
scaler = sklearn.preprocessing.StandardScaler().fit(np.arange(6.0).reshape(3, 2))
write_skops(path, scaler)
with zipfile.ZipFile(path) as archive:
    files = {{name: archive.read(name) for name in archive.namelist()}}
schema = json.loads(files["schema.json"])
how, again = zipfile.ZIP_STORED, 1
{change}
files["schema.json"] = json.dumps(schema).encode()
with zipfile.ZipFile(path, "w", how) as archive:
    for name, data in files.items():
        archive.writestr(name, data)
del files
read_skops
import skops.io
"""
    done = run_bounded(setup, "read_skops(path)")
    return done.said, done.mib


def test_a_model_file_that_would_unfold(tmp_path: Path) -> None:
    said, mib = _skops(tmp_path, "how = zipfile.ZIP_DEFLATED; files['0.npy'] += bytes(1 << 28)")
    assert "is compressed and could unfold" in said
    assert mib < 50


def test_an_array_that_states_more_than_it_holds(tmp_path: Path) -> None:
    change = """
stream = io.BytesIO()
np.lib.format.write_array_header_1_0(stream, {"descr": "<f8", "fortran_order": False, "shape": (1 << 27,)})
files["0.npy"] = stream.getvalue() + bytes(16)
"""
    said, mib = _skops(tmp_path, change)
    assert "'0.npy' states the shape (134217728,), and holds 16 bytes" in said
    assert mib < 50


def test_an_array_that_is_named_many_times(tmp_path: Path) -> None:
    """Each time it would be read anew."""
    change = """
node = next(value for _, value in schema["content"]["content"].items() if value.get("file") == "0.npy")
schema["content"]["content"]["many"] = {**schema["content"], "content": {str(n): node for n in range(2000)}}
stream = io.BytesIO()
np.save(stream, np.zeros(1 << 18))
files["0.npy"] = stream.getvalue()
"""
    said, mib = _skops(tmp_path, change)
    assert "at most 2,147,483,648 bytes of a model's arrays are taken" in said
    assert "SLUICE_MODEL_BYTES" in said
    assert mib < 50


def test_an_untouched_model_file_is_read(tmp_path: Path) -> None:
    assert _skops(tmp_path, "")[0] == "done"


def test_a_network_of_very_many_layers(tmp_path: Path) -> None:
    setup = f"""
import json
from dataclasses import asdict
from pathlib import Path
import torch, safetensors.torch
from sluice.modeling.model_files import load_model
from sluice.modeling.networks import read_network
from tests.unit.small_world import TASK
folder = Path({str(tmp_path)!r})
sizes = dict(numeric=1, bins=2, cardinalities=[2, 2], embeddings=[1, 1], hidden=[1] * 300_000, classes=2, dropout=0.0)
options = dict(kind="table", sizes=sizes, encoder=dict(vocabularies=[[], []]))
body = dict(version=1, family="network", task=asdict(TASK), options=options)
(folder / "model.json").write_text(json.dumps(body))
safetensors.torch.save_file({{"a": torch.zeros(1)}}, folder / "weights.safetensors")
"""
    done = run_bounded(setup, "load_model(folder)")
    assert "300,002, and at most 10,000 layers of a network are taken" in done.said
    assert done.mib < 100


def _image_lake(folder: Path, count: int) -> str:
    """A lake of `count` images of 8 MB each that do not compress; the files are one."""
    return f"""
import hashlib, io, json, os
from pathlib import Path
import numpy as np
from PIL import Image
from sluice.components.ingest_images.run import run
lake = Path({str(folder / "lake")!r})
lake.mkdir()
stream = io.BytesIO()
Image.fromarray(np.random.default_rng(1).integers(0, 256, (1600, 1600, 3), np.uint8)).save(stream, "PNG")
data = stream.getvalue()
(lake / "a.png").write_bytes(data)
line = dict(label=1, sha256=hashlib.sha256(data).hexdigest())
for n in range({count}):
    os.link(lake / "a.png", lake / f"{{n}}.png")
lines = [json.dumps(dict(line, id=str(n), file=f"{{n}}.png")) for n in range({count})]
(lake / "metadata.jsonl").write_text("\\n".join(lines))
"""


@pytest.mark.parametrize("variable", ["SLUICE_IMAGES_BYTES", "SLUICE_IMAGES_VALUES"])
def test_images_that_are_too_much_together(tmp_path: Path, variable: str) -> None:
    task = {"name": "pictures", "rows": {"table": "images"}, "label": {"column": "label"}}
    body = f"run(str(lake), {task!r}, lake.parent / 'page.html')"
    variables = {variable: str(100_000_000), "SLUICE_STORE": str(tmp_path / "store")}
    done = run_bounded(_image_lake(tmp_path, 60), body, **variables)
    assert "metadata.jsonl: " in done.said
    assert "at most 100,000,000" in done.said
    assert variable in done.said
    assert done.mib < 400
    assert not (tmp_path / "store" / "datasets").exists()
