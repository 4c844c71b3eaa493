"""Pipelines, steps and prepare functions of an installed package: found by name, run, and brought along to a pod."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from sluice.cli.main import app
from sluice.cluster.site_rules import SiteRules
from sluice.cluster.spec import compile_for_cluster
from sluice.core.errors import BadInput
from sluice.core.variable_groups.cluster import ClusterVariables
from sluice.extending.prepare_functions import PREPARE_FUNCTIONS
from sluice.features.building import open_prepare
from sluice.project.archive import LOCK
from sluice.project.code import open_code
from sluice.project.wheelhouse import CLUSTER
from sluice.project_tools.project_check import check_project
from sluice.running import project_runs
from sluice.running.catalog import find_pipeline
from sluice.running.local_run import run_pipeline
from sluice.running.run_records import find_run
from sluice.running.step_debugging import find_step, run_step
from sluice.storage.stores import open_store
from tests.unit.installed_package import entry_points, installed
from tests.unit.test_project_check import CONTRACT, PROJECT, ROWS
from tests.unit.test_project_packages import line, locked, wheel

FLOW = '''
from kfp import dsl

print("imported")
CHOICES = {"size": ("small", "large")}


@dsl.component(base_image="python:3.13", install_kfp_package=False)
def count(size: str, code: str) -> str:
    from sluice.steps.own_step import call

    return call(code, "acme-count", size=size)


@dsl.pipeline(name="counting")
def counting(size: str = "small", code: str = "") -> str:
    """Counts by size."""
    return count(size=size, code=code).output


plain = 7
'''
STEPS = """
def counted(size):
    if size == "small":
        raise ValueError("too small")
    return f"counted {size}"


def rows(tables):
    return tables["houses"]
"""
MODULES = {"acme_flow": FLOW, "acme_steps": STEPS}
ENTRIES = {
    "pipelines": {"acme-counting": "acme_flow:counting", "acme-plain": "acme_flow:plain"},
    "steps": {"acme-count": "acme_steps:counted"},
    "prepare": {"acme-rows": "acme_steps:rows"},
}


@pytest.fixture
def acme(tmp_path: Path) -> Iterator[None]:
    with installed(tmp_path / "site", MODULES, ENTRIES):
        yield


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "houses"
    (folder / "data").mkdir(parents=True)
    (folder / "data/contract.yaml").write_text(CONTRACT)
    ROWS.to_csv(folder / "data/houses.csv", index=False)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("SLUICE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SLUICE_STORE", raising=False)
    monkeypatch.setattr(sys, "path", sys.path[:])
    return folder


def sluice(*words: str) -> Any:
    return CliRunner().invoke(app, list(words), catch_exceptions=False)


@pytest.mark.usefixtures("acme")
def test_a_package_s_pipelines_are_listed_with_their_origin_and_bad_ones_are_told() -> None:
    told = sluice("pipelines").stdout
    assert "acme 1.5" in told
    assert "Counts by size." in told
    assert "pipeline 'acme-plain' of the package acme 1.5 (acme_flow:plain): it gave 7 (int); " in told
    assert "imported" not in told, "what it prints stays out of standard output"
    listed = {each["name"]: each for each in json.loads(sluice("pipelines", "--json").stdout)}
    assert listed["acme_counting"]["origin"] == "the package acme 1.5"
    assert listed["supervised"]["origin"] == "Sluice"
    assert "no pipeline" in listed["acme-plain"]["error"] or "it gave 7" in listed["acme-plain"]["error"]
    assert find_pipeline("acme_counting").parameters[0].choices == ("small", "large")
    with pytest.raises(BadInput, match="did you mean 'acme-counting'"):
        find_pipeline("acme-countin")


@pytest.mark.usefixtures("acme")
def test_a_package_s_pipeline_runs_calls_its_step_and_runs_again_under_a_debugger(
    tracked_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PYTHONPATH", ":".join(sys.path))
    chosen = find_pipeline("acme-counting")
    done = run_pipeline(chosen, {"size": "large"}, Console(quiet=True), quiet=True)
    assert dict(done.outputs) == {"Output": "counted large"}
    record = find_run(done.run)
    assert record.reference == "acme_counting"
    again = run_step(record, find_step(record, "count"), find_pipeline(record.reference), debug=False, really=False)
    assert again.outputs == {"Output": "counted large"}
    with pytest.raises(BadInput, match=r"step 'acme-count' of the package acme 1\.5 .*ValueError: too small"):
        run_pipeline(chosen, {"size": "small"}, Console(quiet=True), quiet=True)


@pytest.mark.usefixtures("acme")
def test_a_cluster_treats_it_as_anybody_s_own() -> None:
    chosen = find_pipeline("acme-counting")
    with pytest.raises(BadInput, match="acme_counting cannot run fused: no image holds it"):
        compile_for_cluster(chosen, fused=True)
    with pytest.raises(BadInput, match="not a pipeline of your own"):
        SiteRules.of(ClusterVariables({"SLUICE_PROJECT_CODE": "false"})).check_code(
            {}, own_pipeline=not chosen.is_sluices
        )


@pytest.mark.usefixtures("acme")
def test_a_project_names_them_and_check_knows_them(project: Path) -> None:
    (project / "sluice.yaml").write_text(PROJECT.replace("split: {by: time}", "pipeline: acme-counting"))
    assert project_runs.order(project_runs.here(project), ["size=large"]).pipeline.name == "acme_counting"
    (project / "sluice.yaml").write_text(PROJECT + "pipeline: flow.py:mine\nprepare: acme-rows\n")
    (project / "flow.py").write_text(FLOW.replace("def counting", "def mine"))
    assert [finding.level for finding in check_project(project).findings if finding.level == "error"] == []
    (project / "flow.py").write_text((project / "flow.py").read_text().replace('"acme-count"', '"acme-cuont"'))
    (project / "sluice.yaml").write_text(PROJECT + "pipeline: flow.py:mine\nprepare: acme-row\n")
    told = [str(finding) for finding in check_project(project).findings]
    assert any(each.startswith("flow.py:12: step 'acme-cuont' is unknown; there is 'acme-count'") for each in told)
    assert any("prepare function 'acme-row' is unknown; there is 'acme-rows'" in each for each in told)


def test_a_package_that_only_the_lock_brings_is_there_when_the_step_asks_for_it(project: Path, tmp_path: Path) -> None:
    """No file of the project's goes along: the lock alone does, and the registry looks anew after it is laid out."""
    files = {f"{name}.py": source for name, source in MODULES.items()}
    made = wheel("acme", "1.5", {**files, "acme-1.5.dist-info/entry_points.txt": entry_points(ENTRIES)})
    (project / "wheels").mkdir()
    (project / "wheels" / made[0]).write_bytes(made[1])
    (project / "needs.txt").write_text(locked(line(made)))
    (project / "sluice.yaml").write_text(PROJECT + "prepare: acme-rows\npackages: needs.txt\n")
    store = open_store(str(tmp_path / "home/store"))
    with installed(tmp_path / "site", MODULES, ENTRIES):
        order = project_runs.order(project_runs.here(project), [], in_store=True)
        assert {name: list(archive.files) for name, archive in order.code.items()} == {"prepare_code": [LOCK]}
        assert order.notes == ()
        assert "acme 1.5 is installed with Sluice" not in " ".join(map(str, check_project(project).findings))
        order.publish(store)
        order.publish(store, CLUSTER[:1])
    with pytest.raises(BadInput, match="another's needs its package installed here"):
        open_prepare("acme-rows", None)
    code = open_code(f"{store.uri}/{order.arguments['prepare_code']}", cache=tmp_path / "cache")
    assert open_prepare("acme-rows", code).package == "the package acme 1.5"
    assert PREPARE_FUNCTIONS.names() == ["acme-rows"]


@pytest.mark.usefixtures("acme")
def test_submit_says_which_package_a_pod_may_lack(project: Path) -> None:
    (project / "sluice.yaml").write_text(PROJECT + "prepare: acme-rows\n")
    (note,) = project_runs.order(project_runs.here(project), [], in_store=True).notes
    assert note == (
        "prepare function 'acme-rows' is acme 1.5's, which the image of step prepare must have; if it has not, add the "
        "package to packages: of sluice.yaml"
    )
    (project / "sluice.yaml").write_text(PROJECT + 'prepare: acme-rows\nsteps: {"*": {image: "team/steps:1"}}\n')
    assert project_runs.order(project_runs.here(project), [], in_store=True).notes == ()
