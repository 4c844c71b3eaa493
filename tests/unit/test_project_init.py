"""`sluice init`: a folder written whole or not at all, whose guesses follow from the data and hold in the steps."""

import json
import os
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

from sluice.components.ingest.run import run as ingest
from sluice.components.validate.run import validate_tables
from sluice.contract.reading import contract_schema, parse_contract
from sluice.core.errors import BadInput
from sluice.core.strict_yaml import parse_yaml
from sluice.engine.datasets import read_dataset
from sluice.project.files import json_schema, read_project
from sluice.project_tools import new_project
from sluice.project_tools.column_facts import associations, column_facts
from sluice.project_tools.data_files import looking, open_files
from sluice.project_tools.new_project import WrittenProject, init_project
from sluice.project_tools.project_check import check_project
from sluice.project_tools.text_types import contract_type, typed
from sluice.sources import conversions
from tests.unit import tables

HOUSES = tables.houses()


@pytest.fixture(autouse=True)
def own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SLUICE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SLUICE_STORE", str(tmp_path / "store"))


def here() -> list[str]:
    """What the folder holds that the test is in."""
    return sorted(path.name for path in Path().iterdir())


def made(frame: pd.DataFrame, label: str, name: str = "it") -> tuple[WrittenProject, Any, dict[str, str]]:
    """A project made of a table in CSV: what was written, its declaration, and the guesses by topic."""
    frame.to_csv(f"{name}.csv", index=False)
    written = init_project(Path(f"made-{name}"), [Path(f"{name}.csv")], label)
    guesses = {guess.topic: guess.choice for guess in written.guesses}
    return written, read_project(written.folder / "sluice.yaml").project, guesses


def test_a_regression_with_time_is_recognised() -> None:
    written, project, guesses = made(HOUSES, "price", "houses")
    assert (project.label.kind, project.rows.time, project.split_by, project.metric) == (
        "regression",
        "listed",
        "time",
        "rmse",
    )
    assert guesses["key"] == "id"
    assert project.features == ("rooms", "area", "region")
    assert project.train.baseline == "rooms"
    assert project.slices == ("region",)
    left_out = {guess.choice: guess.reason for guess in written.guesses if guess.topic == "left out"}
    assert set(left_out) == {"sold", "fee", "notes"}
    assert "tells price almost alone" in left_out["fee"]
    text = (written.folder / "sluice.yaml").read_text()
    assert "# left out: fee: tells price almost alone" in text
    contract = parse_contract((written.folder / "data/contract.yaml").read_text(), "contract.yaml")
    assert contract.availability("houses", "rooms") is not None
    assert contract.availability("houses", "fee") is None
    assert contract.tables["houses"].time == "listed"


def test_five_classes_without_key_or_time_are_recognised() -> None:
    frame = tables.iris()
    frame["species"] = frame["species"] + np.where(frame["petal_width"] > frame["petal_width"].median(), " b", " a")
    written, project, guesses = made(frame, "species")
    assert (project.label.kind, project.split_by, project.metric) == ("multiclass", "folds", "log_loss")
    assert guesses["key"] == "none"
    assert project.split.folds == 5
    assert "only 150 rows: each row is judged by models fitted without it" in guesses_of(written, "split")
    assert project.features == ("sepal_length", "sepal_width", "petal_length", "petal_width")


def guesses_of(written: WrittenProject, topic: str) -> str:
    return " ".join(guess.reason for guess in written.guesses if guess.topic == topic)


def test_rows_of_one_patient_are_kept_together() -> None:
    _, project, guesses = made(tables.visits(), "came_back")
    assert (project.label.kind, project.label.positive) == ("binary", "yes")
    assert (guesses["key"], project.rows.group, project.split_by) == ("patient_id, visit", "patient_id", "folds")


def test_a_whole_number_with_many_values_is_a_quantity_and_with_few_a_class() -> None:
    _, project, _ = made(tables.diabetes(), "target")
    assert project.label.kind == "regression"
    frame = tables.diabetes()
    frame["grade"] = pd.qcut(frame["target"], 5, labels=False)
    _, project, _ = made(frame.drop(columns="target"), "grade", "grades")
    assert project.label.kind == "multiclass"
    frame["high"] = frame["target"] > 200
    _, project, _ = made(frame.drop(columns=["target", "grade"]), "high", "high")
    assert (project.label.kind, project.label.positive) == ("binary", True)


def test_columns_that_are_made_with_the_label_are_doubted() -> None:
    _, project, guesses = made(tables.flights(), "arr_delay")
    assert (project.rows.time, guesses["key"]) == ("time_hour", "carrier, flight, time_hour")
    assert not {"dep_time", "dep_delay", "arr_time", "air_time"} & set(project.features)
    assert {"carrier", "origin", "dest", "distance"} <= set(project.features)


def test_many_columns_are_named_by_a_pattern_and_its_exceptions() -> None:
    frame = pd.DataFrame(np.random.default_rng(1).normal(size=(200, 60)), columns=[f"f{i}" for i in range(60)])
    frame["y"] = frame["f3"] + np.random.default_rng(2).normal(size=200)
    frame["same"] = 1
    written, project, _ = made(frame, "y")
    assert project.features == ("*", "!y", "!same")
    assert check_project(written.folder).facts["features"] == 60


@pytest.mark.parametrize("kind", ["csv", "semicolons", "tabs", "json", "parquet", "two files"])
def test_what_is_proposed_passes_the_first_steps(kind: str, tmp_path: Path) -> None:
    frame = HOUSES.head(300).drop(columns="notes")
    frame.loc[3:5, "area"] = np.nan
    files = [Path("houses.csv")]
    if kind == "json":
        files = [Path("houses.json")]
        frame.astype({"listed": str, "sold": str}).to_json(files[0], orient="records")
    elif kind == "parquet":
        files = [Path("houses.parquet")]
        frame.assign(region=frame["region"].where(frame.index > 2)).to_parquet(files[0])
    elif kind == "two files":
        files = [Path("a.csv"), Path("b.csv")]
        frame.head(100).to_csv(files[0], index=False)
        frame.tail(200).to_csv(files[1], index=False)
    else:
        frame.to_csv(files[0], index=False, sep={"semicolons": ";", "tabs": "\t"}.get(kind, ","))
    written = init_project(Path("made"), files, "price")
    checked = check_project(written.folder)
    assert [str(finding) for finding in checked.findings if finding.level == "error"] == []
    assert checked.facts["rows"] == 300
    bundle = ingest(str(written.folder / "data"), summary=tmp_path / "summary.md")
    verdict = validate_tables(bundle.uri, "", tmp_path / "page.html", tmp_path / "findings.json")
    verdict.open_gate()
    with read_dataset(bundle.uri) as (_, found):
        rows = next(iter(found.values())).to_pyarrow().to_pandas()
    assert sorted(rows["id"]) == sorted(frame["id"])
    assert rows.set_index("id").sort_index()["area"].tolist()[:3] == frame["area"].tolist()[:3]
    assert str(rows["listed"].dtype).startswith("datetime64")


def test_the_folder_is_complete_and_its_files_fit_their_schemas() -> None:
    written, _, _ = made(HOUSES, "price")
    assert sorted(path.relative_to(written.folder).as_posix() for path in written.folder.rglob("*.*")) == [
        ".gitignore",
        "README.md",
        "data/contract.yaml",
        "data/it.csv",
        "sluice.schema.json",
        "sluice.yaml",
    ]
    assert (written.folder / "data/it.csv").read_bytes() == Path("it.csv").read_bytes()
    text = (written.folder / "sluice.yaml").read_text()
    assert text.startswith("# yaml-language-server: $schema=sluice.schema.json\n")
    assert json.loads((written.folder / "sluice.schema.json").read_text()) == json_schema()
    jsonschema.validate(parse_yaml(text, ""), json_schema())
    jsonschema.validate(parse_yaml((written.folder / "data/contract.yaml").read_text(), ""), contract_schema())


def test_nothing_is_overwritten() -> None:
    HOUSES.to_csv("houses.csv", index=False)
    for name in ("file", "folder", "link"):
        Path("file").write_text("mine")
        Path("folder").mkdir(exist_ok=True)
        if not os.path.lexists("link"):
            Path("link").symlink_to("nowhere")
        before = here()
        with pytest.raises(BadInput, match="is there already, and nothing is overwritten"):
            init_project(Path(name), [Path("houses.csv")], "price")
        assert here() == before
    assert Path("file").read_text() == "mine"


def test_what_fails_on_the_way_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    HOUSES.to_csv("houses.csv", index=False)

    def full(*_: Any) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(new_project, "_readme", full)
    with pytest.raises(Exception, match="no space left"):
        init_project(Path("made"), [Path("houses.csv")], "price")
    assert here() == ["houses.csv"]


def test_a_large_file_is_linked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(new_project, "LINK_BYTES", 100)
    written, _, _ = made(HOUSES, "price")
    assert (written.folder / "data/it.csv").samefile("it.csv")


@pytest.mark.parametrize(
    ("text", "label", "told"),
    [
        ("a,b\n1,2\n3,4\n", "pric", "--predict 'pric' is no column; there are a, b"),
        ("price,b\n1,2\n3,4\n", "prce", "did you mean 'price'?"),
        ("a,b\n1,2\n1,4\n", "a", "has 1 value in all rows"),
        ("a,b\nx1,2\nx2,4\nx3,4\n" + "".join(f"z{i},{i}\n" for i in range(100)), "a", "no classes to tell apart"),
        ("a,t\n1,2020-01-01\n2,2020-01-02\n", "t", "holds times"),
        ("a\n1\n2\n", "a", "no column is left to learn from"),
        ("a,A\n1,2\n", "a", "stands there twice"),
        ("a,b\n", "a", "has a header and no row"),
        ("", "a", "is empty"),
        ('a,b\n1,"2\n', "a", "cannot be read"),
        ("a,b\n1,2\n1,2,3\n", "a", "cannot be read"),
        ("a,b\ninf,2\n1,2\n2,3\n", "a", "is infinite in 1 rows"),
    ],
)
def test_data_that_do_not_serve_are_refused_in_one_line(text: str, label: str, told: str) -> None:
    Path("x.csv").write_text(text)
    with pytest.raises(BadInput) as error:
        init_project(Path("made"), [Path("x.csv")], label)
    assert told in str(error.value)
    assert here() == ["x.csv"]


@pytest.mark.parametrize(
    ("content", "name"), [(b"\xff\xfea\x00", "x.csv"), (b"PAR1", "x.csv"), (b"a,b\n\xe9,1\n", "x.csv")]
)
def test_what_is_no_text_is_refused(content: bytes, name: str) -> None:
    Path(name).write_bytes(content)
    with pytest.raises(BadInput):
        init_project(Path("made"), [Path(name)], "a")
    assert here() == [name]


def test_names_that_could_not_be_written_plainly_come_back_alike() -> None:
    frame = HOUSES[["id", "rooms", "area", "price"]].rename(
        columns={"rooms": 'no: "rooms" # {x}', "area": "*\u202e\tarea", "price": "yes"}
    )
    written, project, _ = made(frame, "yes")
    assert project.features == ('no: "rooms" # {x}', "*\u202e\tarea")
    assert check_project(written.folder).errors == 0


def test_the_share_of_the_label_that_a_feature_explains_is_the_adjusted_r2_of_its_groups() -> None:
    frame = HOUSES[["rooms", "region", "price"]]
    frame.to_csv("x.csv", index=False)
    with looking() as connection:
        table = open_files(connection, "t", [Path("x.csv")])
        told = associations(connection, table, "price", ["rooms", "region"], classes=False)
    for name in ("rooms", "region"):
        dummies = pd.get_dummies(frame[name].astype(str)).to_numpy(float)
        plain = LinearRegression().fit(dummies, frame["price"]).score(dummies, frame["price"])
        n, k = dummies.shape
        assert told[name] == pytest.approx(max(0, 1 - (1 - plain) * (n - 1) / (n - k)), abs=1e-9)


def test_chance_explains_nothing() -> None:
    random = np.random.default_rng(3)
    frame = pd.DataFrame({"x": random.normal(size=5000), "c": random.integers(0, 400, 5000).astype(str)})
    frame["c"] = "c" + frame["c"]
    frame["y"] = random.choice(["a", "b", "c"], 5000)
    frame.to_csv("x.csv", index=False)
    with looking() as connection:
        table = open_files(connection, "t", [Path("x.csv")])
        told = associations(connection, table, "y", ["x", "c"], classes=True)
    assert max(told.values()) < 0.02  # unadjusted, 400 groups would explain 8%


def test_counts_are_of_all_rows() -> None:
    frame = pd.DataFrame({"n": range(30_000), "late": [""] * 29_999 + ["x"], "f": [1.5] * 29_998 + [None, np.inf]})
    frame.to_csv("x.csv", index=False)
    with looking() as connection:
        table = open_files(connection, "t", [Path("x.csv")])
        facts = column_facts(connection, table)
    assert table.columns == {"n": "int64", "late": "string", "f": "float64"}
    assert (facts["n"].distinct, facts["n"].greatest) == (30_000, 29_999)
    assert (facts["late"].missing, facts["f"].missing, facts["f"].infinite) == (29_999, 1, 1)


def test_a_value_far_down_the_file_decides_the_type() -> None:
    values = [str(i) for i in range(25_000)] + ["0017"]
    pd.DataFrame({"zip": values, "x": ["1"] * 25_000 + ["1.5"], "m": ["1"] * 10 + ["?"] + ["2"] * 24_990}).to_csv(
        "x.csv", index=False
    )
    with looking() as connection:
        table = open_files(connection, "t", [Path("x.csv")])
    assert table.columns == {"zip": "string", "x": "float64", "m": "string"}
    assert "numbers but for '?'" in table.notes["m"]


SIGNS = [
    "",
    " ",
    "+",
    "-",
    "0",
    "00",
    "1",
    "12",
    "1.",
    ".5",
    "1.5",
    "1e3",
    "1e400",
    "1E-3",
    "1_0",
    "0x1F",
    "inf",
    "-Inf",
]
SIGNS += [
    "nan",
    "NaN",
    "9223372036854775807",
    "9223372036854775808",
    "9007199254740993",
    "1.0",
    "1.00000000000000000001",
]
SIGNS += [
    "true",
    "TRUE",
    "t",
    "yes",
    "no",
    "2013-01-05",
    "13-01-05",
    "2013-1-5",
    "2013-01-05 10:00",
    "epoch",
    "infinity",
]
SIGNS += ["2013-01-05T10:00:00Z", "2013-01-05 10:00:00+02:00", "2013-01-05T25:00", "2013-02-30", "0000-01-01", "١٢"]
SIGNS += ["2013-01-05T10:00:00.123456789 UTC", "10000-01-01", "0001-01-01", "9999-12-31T23:59:59-10", "1,5", "1 000"]


@pytest.mark.parametrize("kind", ["int64", "float64", "timestamp", "date"])
def test_a_text_has_the_type_that_the_step_ingest_will_read(kind: str) -> None:
    import ibis

    texts = [f"{before}{text}{after}" for text in SIGNS for before in ("", " ", "-") for after in ("", " ")]
    with looking() as connection:
        connection.execute("CREATE TABLE x (i INTEGER, c VARCHAR)")
        connection.executemany("INSERT INTO x VALUES (?, ?)", list(enumerate(texts)))
        ours = [row[0] for row in connection.execute(f"SELECT {typed('c', kind)} FROM x ORDER BY i").fetchall()]
    engine = ibis.duckdb.connect()
    engine.raw_sql("SET TimeZone = 'UTC'")
    theirs_table = engine.create_table("x", {"i": list(range(len(texts))), "c": texts}).order_by("i")
    value = conversions.EXACT[kind](theirs_table.c.nullif(""))
    theirs = theirs_table.select(v=value).to_pyarrow()["v"].to_pylist()
    for text, one, other in zip(texts, ours, theirs, strict=True):
        if kind == "float64" and one is not None and np.isinf(one):
            continue  # counted as infinite here, refused there
        assert one == other or (one != one and other != other), text


@pytest.mark.parametrize(
    ("duck", "ours"),
    [
        ("INTEGER", "int64"),
        ("DECIMAL(10,0)", "int64"),
        ("DECIMAL(38,0)", "float64"),
        ("DECIMAL(9,2)", "float64"),
        ("TIMESTAMP WITH TIME ZONE", "timestamp"),
        ("TIMESTAMP_NS", "timestamp"),
        ("ENUM('a', 'b')", "string"),
        ("INTEGER[]", None),
        ("BLOB", None),
        ("TIME", None),
        ("STRUCT(a INTEGER)", None),
    ],
)
def test_types_of_parquet(duck: str, ours: str | None) -> None:
    assert contract_type(duck) == ours
