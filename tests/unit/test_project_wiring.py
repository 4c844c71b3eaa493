"""What a project declares reaches its runs: packages, steps' resources and images, and a site's word on its code."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from sluice.cli.main import app
from sluice.cluster.resources import images_of, layered, of_project, parse_settings
from sluice.cluster.site_rules import MAX_RESOURCES, PROJECT_CODE, SiteRules
from sluice.cluster.spec import compile_for_cluster
from sluice.core.errors import BadInput
from sluice.core.variable_groups.cluster import ClusterVariables
from sluice.project.archive import LOCK
from sluice.project.code import open_code
from sluice.project.declaration import Project, Resources
from sluice.project.packages import Kind, index_key
from sluice.project.wheelhouse import CLUSTER
from sluice.project_tools.project_check import check_project
from sluice.running import project_runs
from sluice.running.catalog import find_pipeline
from sluice.storage.stores import open_store
from tests.unit.api_server import Server
from tests.unit.test_project_check import CONTRACT, ROWS
from tests.unit.test_project_packages import BASE, LOCKED, RATES, line

PROJECT = """\
name: houses
data: data
rows: {table: houses, time: listed}
label: {column: price}
prepare: prepare.py:rows
train: {candidates: [linear, {"mine.py:Net": {width: 4}}]}
packages: needs.txt
steps:
  "*": {cpu: 1}
  train:
    memory: 8Gi
    memory_request: 6Gi
    cpu_request: 500m
    disk: 20Gi
    gpu: 1
    gpu_kind: amd.com/gpu
    node_selector: {pool: gpu}
    tolerations: [{key: pool, value: gpu, effect: NoSchedule, tolerationSeconds: 60}]
    image: registry.example.org/team/steps:1
"""
PREPARE = "import acme_rates\n\ndef rows(tables):\n    return acme_rates.rate()\n"
MINE = "class Net:\n    def __init__(self, width=1):\n        pass\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    place = tmp_path / "houses"
    (place / "data").mkdir(parents=True)
    (place / "wheels").mkdir()
    for name, text in {"sluice.yaml": PROJECT, "prepare.py": PREPARE, "mine.py": MINE, "needs.txt": LOCKED}.items():
        (place / name).write_text(text)
    (place / "data/contract.yaml").write_text(CONTRACT)
    ROWS.to_csv(place / "data/houses.csv", index=False)
    for name, data in (RATES, BASE):
        (place / "wheels" / name).write_bytes(data)
    monkeypatch.chdir(place)
    monkeypatch.setenv("SLUICE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(sys, "path", sys.path[:])
    yield place
    for name in [name for name in sys.modules if name.startswith("acme_")]:
        del sys.modules[name]


def test_the_lock_and_its_wheels_go_along_and_are_there_where_the_code_runs(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = project_runs.order(project_runs.here(folder), [])
    assert sorted(order.code) == ["prepare_code", "train_code"]
    assert all(LOCK in archive.files for archive in order.code.values())
    store = open_store(str(tmp_path / "store"))
    monkeypatch.setenv("SLUICE_STORE", store.uri)
    arguments = order.publish(store)
    assert store.exists(index_key(LOCKED.encode(), Kind()))
    assert open_code(arguments["prepare_code"]).load("prepare.py:rows")({}) == 2
    assert order.arguments["candidates"] == ["linear", {"mine.py:Net": {"width": 4}}]


def test_a_problem_goes_along_to_the_steps_that_use_it(folder: Path) -> None:
    (folder / "counting.py").write_text(
        "from sluice.problems.problem import Problem\n\ncalls = Problem('regression')\n"
    )
    stated = (folder / "sluice.yaml").read_text()
    (folder / "sluice.yaml").write_text(stated.replace("column: price", "column: price, kind: counting.py:calls"))
    order = project_runs.order(project_runs.here(folder), [])
    assert order.arguments["task"]["label"] == {"column": "price", "kind": "counting.py:calls"}
    having = [name for name, archive in order.code.items() if "counting.py" in archive.files]
    assert sorted(having) == ["evaluate_code", "prepare_code", "train_code"]
    (folder / "sluice.yaml").write_text((folder / "sluice.yaml").read_text() + "pipeline: supervised-images\n")
    with pytest.raises(BadInput, match=r"names counting.py:calls, and its pipeline .* has no parameter 'prepare_code'"):
        project_runs.order(project_runs.here(folder), [])


def test_for_a_cluster_wheels_of_each_python_are_published_as_far_as_there_are_some(
    folder: Path, tmp_path: Path
) -> None:
    order, store = project_runs.order(project_runs.here(folder), []), open_store(str(tmp_path / "cluster"))
    order.publish(store, CLUSTER)
    assert [kind.python for kind in CLUSTER if store.exists(index_key(LOCKED.encode(), kind))] == [
        "3.13",
        "3.12",
        "3.11",
    ]
    (folder / "wheels" / RATES[0]).unlink()
    order.publish(store, CLUSTER)  # they are there, so nothing is looked for again


def test_what_an_edit_of_the_lock_means_for_results_that_are_reused(folder: Path) -> None:
    before = project_runs.order(project_runs.here(folder), []).arguments
    (folder / "needs.txt").write_text(LOCKED.replace("# made by a test", "# made by another"))
    after = project_runs.order(project_runs.here(folder), []).arguments
    assert before["prepare_code"] != after["prepare_code"]


def test_check_reads_the_lock_and_the_arguments_of_a_class_of_ones_own(folder: Path) -> None:
    assert check_project(folder).errors == 0
    (folder / "needs.txt").write_text(LOCKED + "numpy==1.0 --hash=sha256:" + "0" * 64 + "\nbroken\n")
    (found,) = [str(each) for each in check_project(folder).findings if each.level == "error"]
    assert found.startswith("needs.txt:")
    assert "'broken' names no one version" in found
    (folder / "needs.txt").write_text(line(("numpy-1.0", b"")))
    (found,) = [str(each) for each in check_project(folder).findings if each.level == "error"]
    assert "sluice.yaml:7: the project wants numpy 1.0, and" in found
    wrong = PROJECT.replace("needs.txt", "nods.txt").replace("width: 4", "wdth: 4").replace("linear", "{tree: {}}")
    (folder / "sluice.yaml").write_text(wrong)
    told = "\n".join(str(each) for each in check_project(folder).findings)
    assert "sluice.yaml:7: 'nods.txt' is no file of the project" in told
    assert "sluice.yaml:6: Net takes no argument 'wdth' (did you mean 'width'?)" in told
    assert "sluice.yaml:6: 'candidates' names 'tree' (did you mean 'trees'?)" in told


def test_bundle_lists_the_packages(folder: Path) -> None:
    (folder / "wheels" / BASE[0]).unlink()
    said = CliRunner().invoke(app, ["bundle", "--json"], catch_exceptions=False).stdout
    packages = json.loads(said)["packages"]
    assert packages == {"acme-rates==1.2": len(RATES[1]), "acme-base==3.0": None, "never==1.0": None}
    listed = CliRunner().invoke(app, ["bundle", "--list"], catch_exceptions=False).stdout
    assert "acme-base==3.0" in listed
    assert "fetched by pip" in listed


def declared(text: str = PROJECT) -> Project:
    import yaml

    return Project.model_validate(yaml.safe_load(text))


def test_python_declares_the_same() -> None:
    made = Project.model_validate({**declared().model_dump(by_alias=True), "steps": {"train": Resources(memory="2Gi")}})
    assert of_project(made)["train"].memory == "2Gi"


def test_the_compiled_steps_have_what_the_project_asks_for() -> None:
    asked = layered(parse_settings(["train.memory=7Gi"]), of_project(declared()))
    spec = compile_for_cluster(
        find_pipeline("supervised"), resources=SiteRules().plan(asked), step_images=images_of(declared())
    )
    container = spec.pipeline["deploymentSpec"]["executors"]["exec-train"]["container"]
    wanted = container["resources"]
    assert (wanted["resourceCpuLimit"], wanted["resourceCpuRequest"]) == ("1", "500m")
    assert wanted["resourceMemoryLimit"] == "7Gi"  # nearer than the project's 8Gi, whose request is forgotten with it
    assert wanted["resourceMemoryRequest"] == "7Gi"
    assert wanted["accelerator"]["resourceType"] == "amd.com/gpu"
    assert container["image"] == "registry.example.org/team/steps:1"
    assert {"name": "SLUICE_IMAGE", "value": container["image"]} in container["env"]
    executors = spec.platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert executors["exec-train"]["nodeSelector"] == {"labels": {"pool": "gpu"}}
    assert executors["exec-train"]["tolerations"][0]["tolerationSeconds"] == "60"  # as JSON has 64 bits
    assert executors["exec-train"]["genericEphemeralVolume"][0]["size"] == "20Gi"
    others = spec.pipeline["deploymentSpec"]["executors"]["exec-split"]["container"]
    assert others["resources"]["resourceCpuLimit"] == "1"
    assert others["image"] != container["image"]


def test_a_site_bounds_what_a_project_asks_for_and_whether_it_brings_code() -> None:
    rules = SiteRules.of(ClusterVariables({MAX_RESOURCES: '{"memory": "4Gi"}', PROJECT_CODE: "false"}))
    with pytest.raises(BadInput, match=r"steps.train.memory: 8Gi is more than this site gives a step: 4Gi"):
        compile_for_cluster(find_pipeline("supervised"), resources=rules.plan(of_project(declared())))
    with pytest.raises(BadInput, match=r"not the project's code \(train_code=code/1.zip\)"):
        rules.check_code({"train_code": "code/1.zip", "seed": 1})
    rules.check_code({"train_code": "", "prepare_code": ""})
    with pytest.raises(BadInput, match=r"steps.trian: the pipeline has no such step \(did you mean 'train'\?\)"):
        compile_for_cluster(find_pipeline("supervised"), step_images={"trian": "a/b:1"})


def test_submit_sends_the_projects_own_words_along(
    folder: Path, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(str(tmp_path / "store"))
    for name, value in {"SLUICE_KFP": server.url, "SLUICE_STORE": store.uri}.items():
        monkeypatch.setenv(name, value)
    server.answers["/apis/v2beta1/healthz"] = (200, {"tag_name": "2.17.0"})
    server.answers["/apis/v2beta1/experiments"] = (200, {"experiments": [{"experiment_id": "e"}]})
    server.answers["/apis/v2beta1/runs"] = (200, {"run_id": "4f1c0de0"})
    server.answers["/apis/v2beta1/pipelines"] = (200, {})
    done = CliRunner().invoke(app, ["submit", "--no-wait", "--resources", "split.cpu=2"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    bodies = [
        json.loads(body)
        for verb, path, body in server.asked
        if verb == "POST" and path.startswith("/apis/v2beta1/runs")
    ]
    (body,) = bodies
    executors: dict[str, Any] = body["pipeline_spec"]["pipeline_spec"]["deploymentSpec"]["executors"]
    assert executors["exec-train"]["container"]["resources"]["resourceMemoryLimit"] == "8Gi"
    assert executors["exec-split"]["container"]["resources"]["resourceCpuLimit"] == "2"
    parameters = body["runtime_config"]["parameters"]
    assert parameters["candidates"] == ["linear", {"mine.py:Net": {"width": 4}}]
    assert store.exists(parameters["train_code"])
    assert store.exists(index_key(LOCKED.encode(), CLUSTER[0]))
