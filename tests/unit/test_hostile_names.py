"""Names that our aliases, a library's arguments or another program's syntax would take for their own, in every step."""

import csv
import io
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ibis
import mlflow
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.artifacts.bundles import Bundle
from sluice.artifacts.provenance import ancestry, origin
from sluice.cli.lineage_tree import show
from sluice.components.ingest.run import run as ingest
from sluice.contract.reading import parse_contract
from sluice.core.column_names import free_name, named, repeated
from sluice.core.errors import BadInput
from sluice.core.plain_text import lines
from sluice.features.building import build_table
from sluice.features.joins import aggregate_earlier, join_earlier
from sluice.features.masks import mask
from sluice.registry.mlflow_access import mlflow_module
from sluice.registry.tracked_results import plots_of
from sluice.running.lineage import lineage
from sluice.running.terminal import Terminal
from sluice.sampling.drawing import count_strata
from sluice.storage.locations import default_store
from tests.unit import hostile_lake
from tests.unit.browser import Browser, browser
from tests.unit.hostile_lake import NAMES, Roles, Story, lay_out, roles, run_steps
from tests.unit.test_pages import Checker

__all__ = ["browser"]  # a fixture

ROLES = Roles(key="n", time="index", label="by", strata=("self", "rows"), cluster="value", heuristic="weight")
CODE = re.compile(r"(?<!`)(`+)(?!`)(.*?)(?<!`)\1(?!`)")  # a code span is text to every reader of Markdown
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@pytest.fixture(scope="module")
def home(empty_tracking: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[pytest.MonkeyPatch]:
    """A home for all tests of this file."""
    place = tmp_path_factory.mktemp("home")
    shutil.copyfile(empty_tracking, place / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLUICE_HOME", str(place))
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_RUN_ID", "SLUICE_STORE", "SLUICE_RUN"):
            patch.delenv(name, raising=False)
        yield patch


@pytest.fixture(scope="module")
def story(home: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """A lake with a column of every name, taken through every step."""
    folder = tmp_path_factory.mktemp("hostile")
    lake = lay_out(folder / "lake", NAMES, ROLES)
    return run_steps(lake, folder / "work", NAMES, ROLES)


def rows_of(bundle: Bundle, table: str) -> pd.DataFrame:
    return pq.read_table(Path(bundle.uri) / table).to_pandas()


def test_every_column_arrives_with_its_values(story: Story) -> None:
    lake = story.folder.parent / "lake/rows.csv"
    with lake.open(encoding="utf-8", newline="") as stream:
        wanted = list(csv.DictReader(stream))
    prepared = pq.read_table(Path(story.bundles["prepare"].uri) / "rows").to_pylist()
    assert set(prepared[0]) == set(NAMES)
    assert len(prepared) == len(wanted) == hostile_lake.ROWS
    for row, given_row in zip(sorted(prepared, key=lambda row: int(row[ROLES.key])), wanted, strict=True):
        for name, value in row.items():
            if name != ROLES.time:
                assert given_row[name] == ("" if value is None else str(value)), name
    parts = pd.concat([rows_of(story.bundles["split"], part) for part in ("train", "validation", "test")])
    sampled = rows_of(story.bundles["sample"], "rows")
    assert len(parts) == len(sampled) == round(0.7 * hostile_lake.ROWS)
    assert set(parts.columns) == {*NAMES, free_name("weight", NAMES)}


def test_the_registered_model_answers_by_these_names(story: Story) -> None:
    assert story.registered is not None
    mlflow_module()  # reads where to look
    model = mlflow.pyfunc.load_model(f"models:/hostile/{story.registered.version.version}")
    answers = model.predict(rows_of(story.bundles["prepare"], "rows").head(20))
    assert len(answers) == 20


def test_summaries_are_tables_that_no_name_breaks(story: Story) -> None:
    texts = {name: text for name, text in story.texts().items() if name.endswith(".md")}
    assert set(texts) == {"ingest.md", "prepare.md", "sample.md", "split.md", "card.md"}
    for name, text in texts.items():
        assert not OBEYED.search(text), name
        assert not re.search("<(img|script)", CODE.sub("", text)), name
        for block in re.split(r"\n(?!\|)", text):
            cells = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines() if line.startswith("|")}
            assert len(cells) <= 1, (name, block[:300])


def test_pages_hold_no_element_and_no_character_of_a_name(story: Story) -> None:
    pages = {name: text for name, text in story.texts().items() if name.endswith(".html")}
    assert "report.html" in pages
    for name, text in pages.items():
        assert not OBEYED.search(text), name
        checked = Checker(text)
        assert {"script", "img", "i", "iframe"}.isdisjoint(checked.tags), name
    shown = Checker(pages["quality.html"]).text
    assert [each for each in NAMES if lines(each) not in shown] == []


def test_a_browser_sees_text_alone(story: Story, browser: Browser) -> None:
    for name, text in story.texts().items():
        if name.endswith(".html"):
            seen = browser.open(story.folder / name)
            assert seen.requests == [], name
            assert {"script", "img", "iframe", "object", "embed"}.isdisjoint(seen.tags), name
            assert seen.tags.count("section") == text.count("<section "), name
            assert not [attribute for attribute in seen.attributes if attribute.startswith("on")], name
            assert "data-pwned" not in seen.attributes
    for name, svg in plots_of((story.folder / "report.html").read_text(encoding="utf-8")).items():
        (story.folder / f"{name}.svg").write_text(svg, encoding="utf-8")
        seen = browser.open(story.folder / f"{name}.svg")
        assert seen.tags[0] == "svg", name
        assert {"script", "parsererror"}.isdisjoint(seen.tags), name
        assert seen.requests == [], name


def test_the_lineage_is_a_tree_of_our_lines_alone(story: Story) -> None:
    file = io.StringIO()
    show(lineage("hostile/1"), Terminal(file=file, width=100_000))
    assert not OBEYED.search(file.getvalue())
    found = [origin(bundle).step for bundle in ancestry(default_store(), story.bundles["train"].id)]
    assert found == ["ingest", "prepare", "sample", "split", "train"]


@settings(max_examples=4)
@given(start=st.integers(0, len(NAMES) - 1), source=st.sampled_from(["csv", "sql"]), apart=st.booleans())
def test_whatever_a_name_stands_for_the_rows_are_sampled_and_split(
    home: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory, start: int, source: str, apart: bool
) -> None:
    folder = tmp_path_factory.mktemp("roles")
    some = [NAMES[(start + place) % len(NAMES)] for place in range(9)]
    role = roles(some, 0)
    lake = lay_out(folder / "lake", some, role, source=source)
    done = run_steps(lake, folder / "work", some, role, strategy="time" if apart else "stratified", last="split")
    assert sum(len(rows_of(done.bundles["split"], part)) for part in ("train", "validation", "test")) == round(
        0.7 * hostile_lake.ROWS
    )


@pytest.mark.parametrize("name", ["self", "by", "having", "exprs", "metrics", "_0", "a\nb", '"', "$"])
def test_a_users_name_is_never_a_keyword_argument(name: str) -> None:
    table = ibis.memtable({name: [1, 2, 3]})
    assert table.mutate(named({name: table[name] + 1})).execute()[name].tolist() == [2, 3, 4]
    contract = parse_contract(ibis_contract(name), "c")
    masked, counts = mask({"t": table}, contract)
    assert counts == {f"t.{name}": 1}
    assert masked["t"].execute()[name].isna().sum() == 1


def ibis_contract(name: str) -> str:
    column = {"type": "int64", "range": [0, 2], "tolerance": 0.5}
    return json.dumps({"name": "c", "tables": {"t": {"source": {"csv": "t.csv"}, "columns": {name: column}}}})


@pytest.mark.parametrize("name", ["self", "by", "key_0", "at_0", "value_0", "asked", "having"])
def test_joins_take_any_name(name: str) -> None:
    moments = pd.to_datetime(["2013-01-01 00:00", "2013-01-01 01:00", "2013-01-01 02:00"])
    frame: dict[str, Any] = {"t": moments, "place": ["a", "a", "a"], "v": [1, 2, 4]}
    table = ibis.memtable(pd.DataFrame(frame))
    joined = join_earlier(table, table, ["place"], "t", {name: "v"}, observed_at=None)
    assert joined.order_by("t").execute()[name].fillna(0).tolist() == [0, 1, 2]
    summed = aggregate_earlier(table, table, ["place"], "t", {name: ("v", "sum")}, lag_hours=1, window_hours=5)
    assert summed.order_by("t").execute()[name].fillna(0).tolist() == [0, 1, 3]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (
            "month: {type: int64}\n      Month: {type: int64}",
            "'Month' beside 'month'; names must differ by more than case",
        ),
        ('" ": {type: int64}', "the blank name ' '"),
        ('"a\\0b": {type: int64}', "NUL or half a character"),
        ('"a\\ud800b": {type: int64}', r"the escape of half a character"),
        (f"{'x' * 1001}: {{type: int64}}", "a name of 1,001 characters"),
    ],
)
def test_names_that_no_table_keeps_apart_are_refused_in_one_line(columns: str, words: str) -> None:
    text = f"name: c\ntables:\n  t:\n    source: {{csv: t.csv}}\n    columns:\n      {columns}\n"
    with pytest.raises(BadInput) as refused:
        parse_contract(text, "contract.yaml")
    assert words in str(refused.value)


def test_what_is_named_twice_is_refused() -> None:
    contract = "name: c\ntables:\n  t:\n    source: {csv: t.csv}\n    key: [a, a]\n    columns: {a: {type: int64}}\n"
    with pytest.raises(BadInput, match="key names a column twice"):
        parse_contract(contract, "contract.yaml")
    with pytest.raises(BadInput, match="parameter strata names 'a' twice"):
        count_strata(ibis.memtable({"a": [1]}), ["a", "a"])
    assert repeated("abcab") == "a"
    assert repeated("abc") is None


def test_strata_with_empty_and_missing_values_are_ordered() -> None:
    table = ibis.memtable(pd.DataFrame({"a": pd.array(["b", "", None, "a", ""], dtype="string")}))
    assert count_strata(table, ["a"]) == [(("",), 2), (("a",), 1), (("b",), 1), ((None,), 1)]


def test_a_prepare_function_whose_columns_differ_in_case_only_is_refused() -> None:
    table = ibis.memtable({"Left_Out": [1], "a": [1]}).mutate(left_out=ibis.null("string"))
    with pytest.raises(BadInput, match=r"'left_out' beside 'Left_Out'; names must differ by more than case"):
        build_table(lambda _: table, "prepare.py:rows", {}, ibis.duckdb.connect())


def lake_of_one_file(folder: Path, name: bytes) -> Path:
    folder.mkdir()
    (folder / "contract.yaml").write_text(
        "name: c\ntables:\n  t:\n    source: {csv: '*.csv'}\n    columns: {a: {type: string}}\n"
    )
    (folder / os.fsdecode(name)).write_bytes(b"a\nx\n")
    return folder


def test_a_file_name_that_is_not_utf8_is_refused(home: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lake = lake_of_one_file(tmp_path / "lake", b"caf\xe9.csv")
    with pytest.raises(BadInput, match=r"the lake's file caf\\udce9.csv has a name that is not UTF-8; rename it"):
        ingest(str(lake), summary=tmp_path / "s.md")


def test_a_line_break_in_a_file_name_forges_no_line(
    home: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lake = lake_of_one_file(tmp_path / "lake", b"a\n[sluice] error: forged\x1b[2J.csv")
    bundle = ingest(str(lake), summary=tmp_path / "s.md")
    (source,) = bundle.manifest.details["sources"]
    assert source["path"] == "a\n[sluice] error: forged\x1b[2J.csv"
    assert not [line for line in capsys.readouterr().out.splitlines() if line.startswith("[sluice] error")]
    assert "`a\\n[sluice] error: forged\\x1b[2J.csv`" in (tmp_path / "s.md").read_text(encoding="utf-8")
