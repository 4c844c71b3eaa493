"""`sluice bundle`: what goes along with a run, what stays and why."""

import json
import zipfile
from pathlib import Path

import pytest

from sluice.cli.main import app
from sluice.core.errors import BadInput
from sluice.project.archive import unpacked

FILES = {
    "sluice.yaml": "name: x\nprepare: prepare.py:rows\ntrain: {candidates: [a, {'nets.py:Net': {a: 1}}]}\n"
    "files: [w.csv]",
    "prepare.py": "import helpers\n",
    "nets.py": "import helpers, made\n",
    "helpers.py": "",
    "made.py": "",
    "w.csv": "a\n1\n",
    ".gitignore": "made.py\n",
    ".env": "PASSWORD=1\n",
    "data/houses.csv": "id\n",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words: str) -> None:
    app(["bundle", *words], standalone_mode=False)


def test_the_list_says_who_needs_what_and_why_the_rest_stays(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("--list")
    said = capsys.readouterr().out
    lines = {line.split()[0]: " ".join(line.split()[1:]) for line in said.splitlines() if line.strip()}
    assert lines["helpers.py"] == "0 nets.py:Net, prepare.py:rows"
    assert lines["made.py"] == ".gitignore; but goes along for nets.py:Net"
    assert lines["w.csv"].endswith("; but goes along for files: w.csv")
    assert lines["data/"].startswith("data or a built file")
    assert lines[".env"] == "never goes along: by its name it may hold a secret"
    assert "5 files of" in said
    assert "4 left out: code/" in said
    run(str(folder), "--json")
    body = json.loads(capsys.readouterr().out)
    assert list(body["sizes"]) == [".gitignore", "helpers.py", "nets.py", "prepare.py", "sluice.yaml"]
    assert body["key"] == f"code/{body['digest']}.zip"
    assert body["size"] == sum(body["sizes"].values())


def test_what_one_step_gets_is_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("--for", "prepare.py:rows", "--file", "*.csv", "--output", "out.zip")
    said = capsys.readouterr().out
    assert "3 files of 19 bytes: code/" in said
    assert zipfile.ZipFile("out.zip").namelist() == ["helpers.py", "prepare.py", "w.csv"]
    assert unpacked(Path("out.zip").read_bytes(), "out.zip").digest in said


def test_too_much_is_refused_after_the_list(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "big.txt").write_text("x" * 6_000_000)
    with pytest.raises(BadInput, match="6,000,"):
        run("--list", "--output", "out.zip")
    assert "big.txt" in capsys.readouterr().out
    assert not Path("out.zip").exists()
    run("--limit", "6.1", "--output", "out.zip")
    assert Path("out.zip").stat().st_size > 6_000_000


def test_a_project_file_that_is_no_yaml_is_told(folder: Path) -> None:
    (folder / "sluice.yaml").write_text("a: 1\nb: [\n")
    with pytest.raises(BadInput, match=r"sluice.yaml:3: this is no YAML"):
        run()
    (folder / "sluice.yaml").write_text("prepare: gone.py:rows\n")
    with pytest.raises(BadInput, match=r"gone.py:rows: .* is not there"):
        run()
