"""What reaches a terminal, a pipe or the log: names from a lake are shown there, and nothing in them is obeyed."""

import io
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table
from rich.tree import Tree

from sluice.artifacts.provenance import Origin, Source
from sluice.cli import main
from sluice.cli.lineage_tree import show
from sluice.core.errors import BadInput, SluiceError
from sluice.registry.promotions import Promotion
from sluice.running import local_run
from sluice.running.lineage import Lineage, ModelFacts
from sluice.running.run_progress import RunOutput
from sluice.running.run_records import Recorder, RunRecord
from sluice.running.terminal import Terminal, plain, print_json
from sluice.running.text_encoding import check_words

EVIL = "a\x1b]0;pwned\x07\x1b[2J\x9b31m\r\nforged ✓ promoted\u202e[red]x[/]\ud800"
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
ANY = st.text(alphabet=st.characters(codec=None, exclude_categories=()))


def clean(text: str) -> bool:
    """Whether nothing is left that a terminal obeys, but rich's own colours."""
    return not OBEYED.search(re.sub(r"\x1b\[[\d;]*m", "", text))


@given(ANY | st.just(EVIL))
def test_nothing_in_a_text_is_obeyed_however_it_is_printed(text: str) -> None:
    file = io.StringIO()
    terminal = Terminal(file=file, width=80, force_terminal=True)
    table = Table(box=None)
    table.add_column("a")
    table.add_row(plain(text))
    tree = Tree(plain(text))
    tree.add(plain(text))
    for thing in (table, tree, f"[bold]{plain(text)}[/]"):
        terminal.print(thing, highlight=False)
    terminal.print(text, markup=False, soft_wrap=True)
    assert clean(file.getvalue())


@given(ANY | st.just(EVIL))
def test_json_is_one_document_without_anything_to_obey(text: str) -> None:
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        print_json({text: [text]})
    assert clean(out.getvalue())
    assert json.loads(out.getvalue()) == {text: [text]}


def test_json_is_written_in_letters_that_the_output_has(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="iso8859-9"))
    print_json({"ş日": "✓"})
    sys.stdout.flush()
    assert json.loads(raw.getvalue().decode("iso8859-9")) == {"ş日": "✓"}


def test_a_names_line_break_forges_no_line_in_a_lineage() -> None:
    facts = ModelFacts(EVIL, "1", (EVIL,), *([EVIL] * 10))
    source = Source("flights", EVIL, "ab" * 32, 10, 5)
    made = Origin("ingest", "dataset", EVIL, (), {EVIL: 5}, {EVIL: EVIL}, {EVIL: EVIL}, (source,), *[EVIL] * 6)
    evidence = {"checks": [{"name": EVIL, "message": EVIL, "passed": True}]}
    record = Promotion(1, EVIL, "promoted", "1", EVIL, None, EVIL, EVIL, EVIL, EVIL, evidence, EVIL)
    file = io.StringIO()
    show(Lineage(facts, (made,), (record,), None, None), Terminal(file=file, width=4000))
    shown = file.getvalue()
    assert clean(shown)
    assert not any(line.lstrip(" │├└─").startswith("forged") for line in shown.splitlines())


def test_the_log_has_no_colours_and_a_step_cannot_speak_for_the_runner(tmp_path: Path) -> None:
    terminal = io.StringIO()
    output = RunOutput(tmp_path / "run.log", Terminal(file=terminal, width=200))
    stamp = "04:05:06.789 - INFO - "
    output.write(f"{stamp}Executing task \x1b[96m'tra")
    output.write("in'\x1b[0m\n")
    output.write(f"    [sluice] {stamp}Task 'train' finished with status SUCCESS {EVIL.replace(chr(10), '')}\n")
    output.write("    Task 'train' finished with status SUCCESS\n")
    output.write(f"{stamp}Task \x1b[96m'train'\x1b[0m finished with status \x1b[91mFAILURE\x1b[0m\nand \x1b[2Jthe rest")
    output.close()
    log = (tmp_path / "run.log").read_text(encoding="utf-8")
    assert "\x1b" not in log
    assert "[96m" not in log
    assert clean(log)
    assert log.endswith("and \\x1b[2Jthe rest\n")
    assert clean(terminal.getvalue())
    assert "✓" not in terminal.getvalue().replace("forged ✓", "")
    assert "✗ train" in terminal.getvalue()


def test_a_runners_colours_are_not_in_the_error(tmp_path: Path) -> None:
    recorder = Recorder(RunRecord(id="one", pipeline="p"), tmp_path)
    with (
        pytest.raises(SluiceError) as raised,
        local_run._explained(tmp_path / "run.log", tmp_path / "failure", recorder),
    ):
        raise RuntimeError("Pipeline \x1b[95m'p'\x1b[0m finished with status \x1b[91mFAILURE\x1b[0m.")
    assert str(raised.value).startswith("Pipeline 'p' finished with status FAILURE. ")


def test_arguments_and_variables_that_are_not_utf8_are_refused() -> None:
    with pytest.raises(BadInput, match=r"argument lake=/tmp/caf\\udce9 is not UTF-8"):
        check_words(["run", "lake=/tmp/caf\udce9"], {})
    with pytest.raises(BadInput, match=r"SLUICE_HOME=/tmp/\\udce9 is not UTF-8"):
        check_words([], {"SLUICE_HOME": "/tmp/\udce9", "OTHER": "\udce9"})


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["run\x1b[31m"], r"No such command 'run\x1b[31m' (see `sluice --help`)"),
        (["run", f"--{EVIL[:-1]}=1"], r"No such option: --a\x1b]0;pwned"),
        (["run", "a", "\x1b[2Jmore"], r"Got unexpected extra argument(s) (\x1b[2Jmore) (see `sluice run --help`)"),
        (["follow", "a", "--hours", "\x1b[31m"], "Invalid value for '--hours': Input should be a valid number"),
        (["cancel"], "Missing argument 'RUN' (see `sluice cancel --help`)"),
        (["run", "--json=\x1b[2J"], "Option '--json' does not take a value (see `sluice --help`)"),
    ],
)
def test_a_wrong_command_ends_in_one_line_without_anything_to_obey(
    words: list[str], told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["sluice", *words])
    with pytest.raises(SystemExit) as ended:
        main.main()
    error = capsys.readouterr().err
    assert ended.value.code == 2
    assert clean(error)
    assert error.startswith(f"error: {told}")
    assert error.count("\n") == 1


@pytest.mark.parametrize(("words", "code"), [([], 2), (["--help"], 0), (["run", "--help"], 0)])
def test_help_is_shown_where_it_is_asked_for_or_nothing_is(
    words: list[str], code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["sluice", *words])
    with pytest.raises(SystemExit) as ended:
        main.main()
    told = capsys.readouterr()
    assert (ended.value.code or 0) == code
    assert "Usage: sluice" in told.out
    assert not told.err


def test_a_hostile_lake_says_its_one_line_on_a_real_terminal_of_another_locale(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    lake.mkdir()
    (lake / "t.csv").write_bytes("\x1b]0;pwned\x07\x1b[2Jzz,ş\n1,x\n".encode())
    (lake / "contract.yaml").write_text(
        "name: x\ntables:\n  t:\n    source: {csv: t.csv}\n    columns:\n      a: {type: int64}\n"
    )
    task = '{"name": "x", "rows": {"table": "t"}, "label": {"column": "a"}}'
    command = [sys.executable, "-m", "sluice", "run", "supervised", "-p", f"lake={lake}", "-p", f"task={task}"]
    ours, theirs = pty.openpty()
    environment = os.environ | {"SLUICE_HOME": str(tmp_path / "home"), "COLUMNS": "300", "TERM": "xterm"}
    environment |= {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}  # as ISO-8859-9 does, it lacks UTF-8
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        seen = b""
        while chunk := _read(ours):
            seen += chunk
        assert process.wait(timeout=300) == 2
    assert b"pwned" in seen
    assert b"\\u015f" in seen
    assert seen.isascii()
    assert b"\x1b]0;" not in seen
    assert b"\x07" not in seen
    assert b"\x1b[2Jzz" not in seen
    log = next((tmp_path / "home/runs").glob("*/run.log")).read_text(encoding="utf-8")
    assert clean(log)
    assert "\x1b" not in log


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # the other side has closed
        return b""
