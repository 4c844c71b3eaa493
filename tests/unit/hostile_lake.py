"""A lake whose columns, classes and values have hostile names, and the real steps run over it from end to end.

Hostile are names that our own aliases, a library's arguments or another program's syntax might take for their own.
"""

import csv
import json
import random
import re
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import ibis

from sluice.artifacts.bundles import Bundle
from sluice.components.evaluate.run import run as evaluate
from sluice.components.ingest.run import run as ingest
from sluice.components.prepare.run import prepare_rows
from sluice.components.register.run import Registered
from sluice.components.register.run import run as register
from sluice.components.report.run import run as report
from sluice.components.sample.run import run as sample
from sluice.components.split.run import run as split
from sluice.components.train.run import run as train
from sluice.components.validate.run import validate_tables
from sluice.evaluation.evaluation_settings import EvaluationSettings, GateLimits
from sluice.features.building import Prepare
from sluice.modeling import training_settings as training_settings
from sluice.project.declaration import Label, Rows, TaskDeclaration

PWN = "document.body.setAttribute(`data-pwned`,1)"
OURS = (
    *("month", "self", "by", "n", "rows", "value", "values", "label", "part", "times", "place", "row", "known", "day"),
    *("total", "weight", "weight_2", "_rank", "_row_order", "_order", "_quota", "_bound", "_inverse", "_part", "_rows"),
    *("_high", "_low", "_n", "_value", "_stratum_0", "h0", "h1", "whole", "test", "train", "others", "pairs", "q0"),
    *("r0", "x0", "n0", "s0", "v0", "c0", "w0", "mean0", "nulls0", "broken0", "least0", "rows_", "late", "proba"),
    *("prediction", "predictions", "score", "probability", "class", "candidate", "cluster", "stratum", "key", "time"),
)
LIBRARIES = (
    *("index", "level_0", "level_1", "count", "name", "names", "schema", "columns", "table", "op", "alias", "select"),
    *(
        "group",
        "order by",
        "from",
        "where",
        "filter",
        "mutate",
        "execute",
        "cast",
        "type",
        "rowid",
        "as",
        "None",
        "nan",
    ),
    *("copy", "get", "items", "keys", "T", "loc", "dtype", "__class__", "__init__", "__dict__", "__index_level_0__"),
    *("main.rows", "data", "metrics", "having", "kwargs", "lambda", "0", "-1", "1e5", "on", "no", "x" * 200),
)
SYNTAX = (
    *('"', '""', "'", "`", "a.b", "a b", " a", "a ", "{", "}", "{x}", "{0}", "%s", "%(x)s", "$", "$x$", "$\\frac{1}$"),
    *("\\", "/", "../x", "a/b", ";", "--", "/*", ",", "|", "a|b", "*", "**bold**", "_it_", "#", "# x", "[a](b)", "!"),
    *(
        "<b>",
        f"<script>{PWN}</script>",
        "</title>",
        "</section>",
        "-->",
        "&amp;",
        "&lt;",
        "[red]",
        "[/]",
        "[bold]x",
    ),
    *("ünï", "İ", "ß", "日本", "😀", "e\u0301", "=1+1", "@x", ":x", "?", "~", "^", "(", ")", "a=b", "null", "true"),
)
CONTROL = (
    "a\x1b[2Jb",
    "\x07",
    "line\nbreak",
    "tab\tbed",
    "\u202eevil",
    "p\u2028q",
    "\x9b31m",
    "\x7f",
    "\u200b",
    "\ufeffx",
)
NAMES = tuple(dict.fromkeys((*OURS, *LIBRARIES, *SYNTAX, *CONTROL)))
CLASSES = ("$no$ | <i>x</i>", "ja\x1b[31m $\\bad{$ \u202e")
VALUES = (
    "$a$",
    f"<img src=http://sluice.test/x onerror={PWN}>",
    "x|y`z",
    "[red]r[/]",
    "b\u202e\x1b]0;t\x07",
)
NO_YAML = re.compile("[\x7f-\x9f\u2028\u2029\ufeff]")
ROWS, DAYS = 600, 40
TABLE = "select_"


@dataclass(frozen=True)
class Roles:
    """Which names stand for what; all others are features."""

    key: str
    time: str
    label: str
    strata: tuple[str, str]
    cluster: str
    heuristic: str

    @property
    def texts(self) -> set[str]:
        """Columns with strings."""
        return {*self.strata, self.cluster, self.heuristic}


def roles(names: Sequence[str], start: int) -> Roles:
    """Seven names in a row, as roles."""
    picked = [names[(start + place) % len(names)] for place in range(7)]
    return Roles(picked[0], picked[1], picked[2], (picked[3], picked[4]), picked[5], picked[6])


def types(names: Sequence[str], role: Roles) -> dict[str, str]:
    """The contract's type of each name."""
    kinds = {name: ("string", "int64", "float64")[place % 3] for place, name in enumerate(names)}
    return (
        kinds | dict.fromkeys(role.texts, "string") | {role.key: "int64", role.time: "timestamp", role.label: "int64"}
    )


def lay_out(folder: Path, names: Sequence[str], role: Roles, *, source: str = "csv") -> Path:
    """Write a lake of one table with these columns."""
    kinds, random_ = types(names, role), random.Random(len(names))
    start = datetime(2013, 1, 1)
    rows: list[dict[str, Any]] = []
    for row in range(ROWS):
        known = random_.randrange(4)
        made: dict[str, Any] = {name: _value(kind, random_, known) for name, kind in kinds.items()}
        made |= {role.key: row, role.time: (start + timedelta(days=row * DAYS // ROWS, hours=row % 24)).isoformat(" ")}
        made |= {role.heuristic: VALUES[known], role.label: int(random_.random() < (0.05, 0.3, 0.6, 0.9)[known])}
        rows.append(made | {role.cluster: f"g{row // 20}"})
    folder.mkdir(parents=True)
    if source == "csv":
        with (folder / "rows.csv").open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream, quoting=csv.QUOTE_ALL, lineterminator="\n")
            writer.writerow(names)
            writer.writerows([row[name] for name in names] for row in rows)
    else:
        _write_sqlite(folder / "rows.db", names, rows)
    where = {"csv": "rows.csv"} if source == "csv" else {"sql": "sqlite:///rows.db", "table": TABLE}
    columns: dict[str, dict[str, Any]] = {name: {"type": kind, "nullable": True} for name, kind in kinds.items()}
    for name in (role.key, role.time):
        columns[name]["nullable"] = False
    columns[role.label] |= {"known": "1h", "range": [0, 1]}
    table = {"source": where, "key": [role.key], "columns": columns}
    table["known"] = "0s"
    table["freshness"] = {"column": role.time, "max_age_days": 10000}
    body = {"name": "$hostile$ <lake>", "tables": {TABLE: table}}
    (folder / "contract.yaml").write_text(contract_text(body), encoding="utf-8")
    return folder


def contract_text(body: Mapping[str, Any]) -> str:
    """The contract as JSON, which is YAML whose every name is quoted; what YAML reads only as an escape is one."""
    return NO_YAML.sub(lambda match: f"\\u{ord(match[0]):04x}", json.dumps(body, ensure_ascii=False))


def _value(kind: str, random_: random.Random, known: int) -> object:
    if random_.random() < 0.1:
        return None
    if kind == "string":
        return VALUES[random_.randrange(len(VALUES))]
    return random_.randrange(9) if kind == "int64" else round(random_.gauss(known, 3), 3)


def _write_sqlite(path: Path, names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    quoted = [f'"{name.replace(chr(34), chr(34) * 2)}"' for name in names]
    with sqlite3.connect(path) as database:
        database.execute(f"CREATE TABLE {TABLE} ({', '.join(quoted)})")
        marks = ", ".join("?" * len(names))
        database.executemany(f"INSERT INTO {TABLE} VALUES ({marks})", [[row[name] for name in names] for row in rows])


@dataclass(frozen=True)
class Story:
    """What the steps left behind."""

    folder: Path
    bundles: dict[str, Bundle]
    registered: Registered | None

    def texts(self) -> dict[str, str]:
        """Every page and summary by its name."""
        found = sorted(path for path in self.folder.iterdir() if path.suffix in (".html", ".md"))
        return {path.name: path.read_text(encoding="utf-8") for path in found}


def keep_all(tables: Mapping[str, ibis.Table]) -> ibis.Table:
    """A prepare function that leaves no row out."""
    return tables[TABLE].mutate(left_out=ibis.null("string"))


def declared_for(names: Sequence[str], role: Roles) -> TaskDeclaration:
    """A question over the lake's one table."""
    features = tuple(name for name in names if name not in (role.key, role.time, role.label, role.cluster))
    return TaskDeclaration(
        name="hostile",
        question="Will $it$ <b>hold</b> | \x1b[2J?",
        rows=Rows(table=TABLE, key=(role.key,), time=role.time, group=role.cluster),
        label=Label(column=role.label, classes=CLASSES),
        features=features,
        slices=(*role.strata, role.heuristic),
        baseline=role.heuristic,
        prepare="prepare.py:keep_all",
    )


def run_steps(
    lake: Path,
    folder: Path,
    names: Sequence[str],
    role: Roles,
    *,
    strategy: str = "time",
    last: str = "report",
    as_of: str = "2013-02-20",
    declared: TaskDeclaration | None = None,
    function: Prepare = keep_all,
) -> Story:
    """Every step from ingest to report, as a pipeline runs them, or to the split or the evaluation."""
    folder.mkdir(parents=True, exist_ok=True)
    bundles = {"ingest": ingest(str(lake), summary=folder / "ingest.md")}
    verdict = validate_tables(bundles["ingest"].uri, as_of, folder / "quality.html", folder / "findings.json")
    verdict.open_gate()
    bundles["prepare"] = prepare_rows(
        verdict.bundle.uri, declared or declared_for(names, role), function, summary=folder / "prepare.md"
    )
    bundles["sample"] = sample(
        bundles["prepare"].uri,
        fraction=0.7,
        rows=0,
        strata=[*role.strata, role.label],
        allocation="equal",
        seed=1,
        summary=folder / "sample.md",
    )
    bundles["split"] = split(
        bundles["sample"].uri, strategy=strategy, shares=[0.6, 0.2, 0.2], seed=1, summary=folder / "split.md"
    )
    if last == "split":
        return Story(folder, bundles, None)
    chosen = ("zero-rule", "heuristic", "logistic-regression", "gradient-boosted-trees")
    trained = train(bundles["split"].uri, training_settings.TrainingSettings(chosen, max_rounds=1))
    (folder / "curves.html").write_text(trained.page, encoding="utf-8")
    gate = EvaluationSettings(
        GateLimits(max_calibration_error=1.0, slice_tolerance=1.0, min_slice_rows=10), resamples=20, seed=1
    )
    evaluation, page = folder / "evaluation.json", folder / "gate.html"
    evaluate(bundles["split"].uri, trained.bundle.uri, gate, evaluation=evaluation, page=page)
    bundles["train"] = trained.bundle
    if last == "evaluate":
        return Story(folder, bundles, None)
    done = register(
        bundles["split"].uri, trained.bundle.uri, evaluation, result=folder / "result.json", card=folder / "card.md"
    )
    pages = [folder / "quality.html", folder / "curves.html", page]
    report(pages, folder / "result.json", folder / "report.html")
    return Story(folder, bundles, done)
