"""A new project's folder: written beside its place and moved there whole, or not at all; nothing is overwritten."""

# ruff: noqa: S608 - all names in the SQL are ours: c0, c1, …; a path is quoted

import glob
import math
import os
import re
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from sluice.contract.reading import CONTRACT, parse_contract
from sluice.core.column_names import check_name
from sluice.core.errors import BadInput
from sluice.core.files import STAGING, faults
from sluice.project.files import EDITORS_LINE, PROJECT_PY, PROJECT_YAML, SCHEMA_FILE, parse_project, schema_text
from sluice.project.values import is_model_name
from sluice.project.yaml_text import flow, scalar
from sluice.project_tools.column_facts import ColumnFacts
from sluice.project_tools.data_files import Table, looking, open_files, quoted_path
from sluice.project_tools.proposal import FOLDS, Guess, Proposal, propose

LINK_BYTES = 1 << 30
"""A larger file is not copied but linked (a hard link): both names then mean the same bytes."""
DATA = "data"
_MANY = 40


@dataclass(frozen=True)
class WrittenProject:
    """A project that was written.

    Attributes:
        folder: Where.
        files: What stands in it, in the order to read it.
        guesses: What was guessed, and why.
    """

    folder: Path
    files: tuple[str, ...]
    guesses: tuple[Guess, ...]


def init_project(folder: Path, files: Sequence[Path], label: str) -> WrittenProject:
    """Write a project that predicts a column of data files.

    Args:
        folder: Its place; its last part is the project's name. Nothing may stand there.
        files: CSV files of one table, or a Parquet or JSON file.
        label: The column to predict.

    Raises:
        BadInput: Something is in the way, or the files do not serve.
        EnvironmentFault: The disk is full or denies access.
    """
    folder = folder.absolute()
    if not is_model_name(folder.name):
        raise BadInput(f"{folder.name!r} cannot name a project; use letters, digits, '-', '_' and '.'")
    _check_free(folder)
    staging = folder.with_name(f"{STAGING}{secrets.token_hex(8)}")
    try:
        with faults(str(folder)), looking() as connection:
            table = open_files(connection, "t0", files)
            for name in table.columns:
                check_name(name, str(files[0]))
            found = propose(connection, table, label)
            (staging / DATA).mkdir(parents=True)
            source, notes = _put_data(connection, table, files, staging / DATA)
            notes += [Guess("data", name, words) for name, words in table.notes.items()]
            _write_texts(folder.name, found, source, staging)
        _check_free(folder)
        with faults(str(folder)):
            staging.rename(folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    names = (PROJECT_YAML, f"{DATA}/{CONTRACT}", f"{DATA}/{source}", "README.md", SCHEMA_FILE, ".gitignore")
    return WrittenProject(folder, names, (*notes, *found.guesses))


def _check_free(folder: Path) -> None:
    if os.path.lexists(folder):
        raise BadInput(f"{folder} is there already, and nothing is overwritten; give another name, or move it away")
    if not folder.parent.is_dir():
        raise BadInput(f"{folder.parent} is no folder; make it first")
    for name in (PROJECT_YAML, PROJECT_PY):
        if (folder.parent / name).exists():
            raise BadInput(f"{folder.parent} is a project itself; make the new one outside of it")


def _put_data(
    connection: duckdb.DuckDBPyConnection, table: Table, files: Sequence[Path], data: Path
) -> tuple[str, list[Guess]]:
    """Put the files into the lake; what the step ingest could not read as it is is written anew, as CSV."""
    if not table.changed:
        if len({file.name for file in files}) < len(files):
            raise BadInput("two files have the same name; rename one of them")
        linked = any(file.stat().st_size > LINK_BYTES for file in files)
        for file in files:
            _take(file, data / file.name)
        how = "linked, for it is large: both names mean the same bytes" if linked else "copied as it is"
        pattern = scalar_glob(files)
        return pattern, [Guess("data", f"{DATA}/{pattern}", how)]
    target = data / f"{table_name(files)}.csv"
    names = ", ".join(f'{table.sql(name)} AS "{_quoted(name)}"' for name in table.columns)
    connection.execute(
        f"COPY (SELECT {names} FROM {table.name}) TO {quoted_path(target)} "
        "(FORMAT csv, HEADER, FORCE_QUOTE *, DELIMITER ',', NULLSTR '')"
    )
    return target.name, [Guess("data", f"{DATA}/{target.name}", "written anew, as CSV with commas")]


def scalar_glob(files: Sequence[Path]) -> str:
    """The contract's source for files in the lake's folder."""
    return "*.csv" if len(files) > 1 else glob.escape(files[0].name)


def _take(file: Path, target: Path) -> None:
    if file.stat().st_size > LINK_BYTES:
        try:
            os.link(file.resolve(), target)
        except OSError:  # another disk
            pass
        else:
            return
    shutil.copyfile(file, target)


def _quoted(name: str) -> str:
    return name.replace('"', '""')


def table_name(files: Sequence[Path]) -> str:
    """A table's name after its first file's: `houses_2020` of `houses-2020.csv`."""
    name = re.sub(r"\W+", "_", files[0].stem, flags=re.ASCII).strip("_")[:60]
    return name if name[:1].isalpha() else f"t_{name}".rstrip("_")


def _write_texts(name: str, found: Proposal, source: str, folder: Path) -> None:
    table = "rows" if source == "*.csv" else table_name([Path(source)])
    project, contract = project_text(name, table, found), contract_text(name, table, found, source)
    parse_project(project)  # before anybody else does
    parse_contract(contract, CONTRACT)
    size = sum(path.stat().st_size for path in (folder / DATA).iterdir())
    texts = {
        PROJECT_YAML: project,
        f"{DATA}/{CONTRACT}": contract,
        SCHEMA_FILE: schema_text(),
        ".gitignore": _ignored(source, size),
        "README.md": _readme(name, found, source),
    }
    for place, text in texts.items():
        (folder / place).write_text(text, encoding="utf-8")


def project_text(name: str, table: str, found: Proposal) -> str:
    """The text of the `sluice.yaml` that is proposed, with comments for the person who goes on with it."""
    rows = {"table": table, "time": found.time, "group": found.group}
    asked = f", judged at {found.time}" if found.time else ""
    told = f"  # the key stands in {DATA}/{CONTRACT}" if found.key else ""
    label: dict[str, object] = {"column": found.label, "kind": found.kind}
    if found.positive is not None:
        label["positive"] = found.positive
    lines = [
        EDITORS_LINE,
        "schema: 1",
        f"name: {scalar(name)}",
        f"question: {scalar(f'What is {found.label}{asked}?')}  # in your words: reports show it",
        f"data: {DATA}",
        f"rows: {flow({key: value for key, value in rows.items() if value})}{told}",
        f"label: {flow(label)}",
        *_known_lines(found),
        *_feature_lines(found),
        f"split: {flow({'by': found.split, **({'shares': list(found.shares)} if found.shares else {'folds': FOLDS})})}",
        f"metric: {found.metric}",
        "train:",
        "  seconds: 60  # for each candidate",
        *([f"  baseline: {scalar(found.baseline)}"] if found.baseline else []),
        *([f"slices: {flow(list(found.slices))}"] if found.slices else []),
    ]
    return "\n".join(lines) + "\n"


def _known_lines(found: Proposal) -> list[str]:
    if not found.time:
        return []
    return [
        f"# Is {_comment(found.label)} known some time after {_comment(found.time)} only? Add `known: 30d` (or 12h, …)",
        "# to label: rows so close to the next part of the split are then left out, as they would be in life.",
    ]


def _feature_lines(found: Proposal) -> list[str]:
    lines = ["features:"]
    lines += [f"  - {scalar(name)}" for name in found.features[:_MANY]]
    if len(found.features) > _MANY:  # a pattern of all, and what is left out of it
        left_out = [name for name in found.doubtful if name in found.facts]
        lines = ["features:", '  - "*"']
        taken = [found.label, found.time, found.group, *found.key]
        lines += [f"  - {scalar('!' + name)}" for name in dict.fromkeys((*taken, *left_out)) if name]
    lines += [f"# left out: {_comment(name)}: {_comment(reason)}" for name, reason in found.doubtful.items()]
    return lines


def contract_text(name: str, table: str, found: Proposal, source: str) -> str:
    """The text of the data contract that is proposed."""
    kind = "json" if source.endswith(".json") else "csv"
    lines = [
        "# What the data hold, and when each value is known. Proposed from the data: correct what you know better.",
        "schema: 2",
        f"name: {scalar(name)}",
        "tables:",
        f"  {table}:",
        f"    source: {flow({kind: source})}",
        *([f"    key: {flow(list(found.key))}"] if found.key else []),
    ]
    if found.time:
        lines += [
            f"    time: {scalar(found.time)}",
            "    # `known` is how long after that time a value is known at the latest: 0s, 12h, 30d. The data do not",
            "    # show it, so `known: 0s` is a guess. What is known later must say so, or the model learns to cheat.",
        ]
    lines += ["    # `range` is wider than what was seen; a value outside of it stops the run.", "    columns:"]
    lines += [_column_line(facts, found) for facts in found.facts.values()]
    return "\n".join(lines) + "\n"


def _column_line(facts: ColumnFacts, found: Proposal) -> str:
    stands_for_time = facts.name == found.time
    body: dict[str, object] = {"type": "timestamp" if stands_for_time else facts.type}
    if facts.missing:
        body["nullable"] = True
    if facts.type in ("int64", "float64") and facts.name not in found.key and facts.name != found.group:
        limits = _limits(facts)
        body |= {"range": limits} if limits else {}
    comment = ""
    if found.time and not stands_for_time:
        if facts.name in found.features or facts.name in (*found.key, found.group):
            body["known"] = "0s"
            comment = "  # a guess: is it?" if facts.name in found.features else ""
        else:
            is_label = facts.name == found.label
            comment = "  # the label" if is_label else "  # when is it known? add known: 30d to use it"
    return f"      {scalar(facts.name)}: {flow(body)}{comment}"


def _limits(facts: ColumnFacts) -> list[float] | None:
    """Wide limits around what was seen: as far again on both sides, rounded, and never below zero for what is not."""
    if facts.least is None or not math.isfinite(facts.least) or not math.isfinite(facts.greatest):
        return None
    width = max(facts.greatest - facts.least, abs(facts.greatest), 1)
    step = 10.0 ** math.floor(math.log10(width))
    least, greatest = facts.least - width, facts.greatest + width
    if not math.isfinite(step) or max(abs(least), abs(greatest)) > 1e15:
        return None
    low = 0.0 if facts.least >= 0 else math.floor(least / step) * step
    high = math.ceil(greatest / step) * step
    if facts.type == "int64" or (low.is_integer() and high.is_integer()):
        return [math.floor(low), math.ceil(high)]
    return [float(f"{low:.12g}"), float(f"{high:.12g}")]


def _comment(text: str) -> str:
    """A text for a comment: whatever it holds, it ends no line."""
    from sluice.core.plain_text import one_line

    return one_line(text)[:200]


def _ignored(source: str, size: int) -> str:
    large = f"# the data are large: keep them elsewhere\n{DATA}/{source}\n" if size > 10_000_000 else ""
    return f".sluice/\n__pycache__/\n{large}"


def _readme(name: str, found: Proposal, source: str) -> str:
    from sluice.core.plain_text import markdown, markdown_code

    return f"""# {markdown(name)}

Predicts {markdown_code(found.label)} from {markdown_code(source)}. Made by `sluice init`; all of it is yours to change.

- `{PROJECT_YAML}` declares the question, its rows and label, the features, the split and what is trained.
- `{DATA}/{CONTRACT}` says what the data hold and when each value is known.

```sh
sluice check    # what is wrong, with its line
sluice run      # from the data to a judged, registered model and its report
```
"""
