"""Which change of code makes a reused result stale: code that steps run, wherever it lies; nothing else."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest
from kfp import dsl
from rich.console import Console

from sluice.artifacts.code_state import CodeState, changes_key
from sluice.artifacts.producer import CHANGES, COMMIT
from sluice.pipelines._learning import Outputs
from sluice.running import step_code
from sluice.running.catalog import Pipeline
from sluice.running.local_run import RunResult, run_pipeline

ROOT = Path(__file__).parents[2]
STEP = '''
"""Reads what it needs when it runs."""
def count():
    if True:
        import json, numpy
        from outside_of_it import value
        return value
'''


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of steps, and beside it a module and a package that it imports."""
    files = {
        "our_steps/__init__.py": "",
        "our_steps/count/step.py": STEP,
        "our_steps/count/README.md": "It counts slowly",
        "our_steps/count/metadata.yaml": "summary: counts",
        "our_steps/count/templates/card.md": "# Card",
        "outside_of_it.py": "from deeper.numbers import value",
        "deeper/__init__.py": "",
        "deeper/numbers.py": "from . import more\nvalue = 'one'",
        "deeper/more.py": "",
        "deeper/README.md": "Numbers",
        "deeper/page.html": "<p>",
        "tests/test_count.py": "import our_steps",
        "unused.py": "value = 1",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    package = ModuleType("our_steps")
    package.__path__ = [str(tmp_path / "our_steps")]
    monkeypatch.setattr(step_code, "OWN", (package,))
    return tmp_path


RUN = ("our_steps/count/step.py", "our_steps/count/templates/card.md", "outside_of_it.py", "deeper/more.py")
NOT_RUN = ("our_steps/count/README.md", "our_steps/count/metadata.yaml", "deeper/README.md", "tests/test_count.py")


@pytest.mark.parametrize("name", [*RUN, "deeper/__init__.py", "deeper/numbers.py", "deeper/page.html"])
def test_code_that_a_step_runs_counts(place: Path, name: str) -> None:
    before = step_code.code_digest()
    assert step_code.code_digest() == before
    (place / name).write_text((place / name).read_text() + "\n#,")
    assert step_code.code_digest() != before


@pytest.mark.parametrize("name", [*NOT_RUN, "unused.py", "our_steps/count/__pycache__/step.cpython-313.pyc"])
def test_what_no_step_runs_does_not_count(place: Path, name: str) -> None:
    before = step_code.code_digest()
    (place / name).parent.mkdir(exist_ok=True)
    (place / name).write_text("It counts, slowly")
    assert step_code.code_digest() == before


def test_a_new_and_a_removed_file_count(place: Path) -> None:
    digests = [step_code.code_digest()]
    (place / "our_steps/count/new.py").write_text("")
    digests.append(step_code.code_digest())
    (place / "our_steps/count/new.py").rename(place / "our_steps/count/newer.py")
    digests.append(step_code.code_digest())
    assert len(set(digests)) == 3


@pytest.mark.usefixtures("place")
def test_installed_packages_count_by_their_versions_alone() -> None:
    names = {name.partition("/")[0] for name in step_code.step_files()}
    assert names == {"our_steps.count", "outside_of_it", "deeper"}


def test_our_own_steps_read_none_of_the_pages_that_do_not_count() -> None:
    files = step_code.step_files()
    assert "sluice.steps/0/step.py" in files
    assert "sluice.registry/0/templates/card.md" in files
    assert "sluice.components/0/train/run.py" in files
    assert "sluice.pipelines/0/supervised.py" in files
    read = [path for name, path in files.items() if path.suffix == ".py" and not name.startswith("sluice.exporting/")]
    code = "\n".join(path.read_text() for path in read)  # what exports writes pages of its own into folders
    assert not [name for name in step_code.NOT_RUN if f'"{name}"' in code]
    every = {path for folder in ("components", "pipelines") for path in (ROOT / folder).rglob("*.py")}
    assert every <= {path.resolve() for path in files.values()}
    assert not [name for name in files if name.partition("/")[0].removeprefix("sluice.") in step_code.NO_STEP]


def test_a_package_installed_from_a_folder_counts_by_its_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "own_features-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own-features\nVersion: 1.0\n")
    (info / "direct_url.json").write_text('{"url": "file:///features", "dir_info": {}}')
    (info / "RECORD").write_text("own_features.py,sha256=aaa,10\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = step_code.code_digest()
    (info / "RECORD").write_text("own_features.py,sha256=bbb,10\n")
    importlib.invalidate_caches()
    assert step_code.code_digest() != before


def test_a_package_that_extends_sluice_and_is_being_edited_counts(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No step imports it: a registry does, by its entry point."""
    (tmp_path / "acme").mkdir()
    (tmp_path / "acme" / "__init__.py").write_text("")
    (tmp_path / "acme" / "metrics.py").write_text("value = 1\n")
    before = step_code.code_digest()
    info = tmp_path / "site" / "acme-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[sluice.metrics]\npoisson = acme.metrics:value\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    offered = step_code.code_digest()
    (tmp_path / "acme" / "metrics.py").write_text("value = 2\n")
    assert len({before, offered, step_code.code_digest()}) == 3
    assert step_code.code_digest() == step_code.code_digest()


def test_a_run_reuses_results_over_a_comma_and_not_over_code_outside(
    place: Path, tracked_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{place}:{':'.join(sys.path)}")
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    monkeypatch.setattr(sys, "dont_write_bytecode", False)  # what Python caches is no change
    for name in (COMMIT, CHANGES):
        monkeypatch.delenv(name, raising=False)
    state = CodeState("abc+dirty", b"diff --git a/x b/x")
    for module in ("sluice.running.local_run", "sluice.artifacts.producer"):
        monkeypatch.setattr(f"{module}.code_state", lambda: state)
    first = run()
    (place / "our_steps/count/README.md").write_text("It counts, slowly")
    second = run()
    (place / "deeper/numbers.py").write_text("value = 'another'")
    third = run()
    assert [done.result["value"] for done in (first, second, third)] == ["one", "one", "another"]
    assert [done.times.seconds["count"] is None for done in (first, second, third)] == [False, True, False]
    kept = f"{tracked_home}/store/{changes_key(state.digest)}"
    assert Path(kept).read_bytes() == state.patch
    assert first.result["changes"] == state.digest
    assert first.log is not None
    assert first.log.read_text().startswith(f"Code: commit abc+dirty, with the changes in {kept}; environment ")


def run() -> RunResult:
    return run_pipeline(Pipeline("counting", "", (), counting), {}, Console(quiet=True), quiet=True)


@dsl.component(base_image="python:3.13", install_kfp_package=False)
def count(report: dsl.Output[dsl.HTML], result: dsl.Output[dsl.Artifact]) -> None:
    import json
    import os
    from pathlib import Path

    from our_steps.count.step import count

    Path(report.path).write_text("<p>")
    Path(result.path).write_text(json.dumps({"value": count(), "changes": os.environ["SLUICE_CHANGES"]}))


@dsl.pipeline(name="counting")
def counting() -> Outputs:
    done = count()
    return Outputs(report=done.outputs["report"], result=done.outputs["result"])
