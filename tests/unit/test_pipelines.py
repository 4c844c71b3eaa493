"""The compiled pipelines keep the promises that a KFP server and its form depend on."""

import ast
import inspect
from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp import compiler

from sluice.core.step_images import TABULAR_IMAGE, TORCH_IMAGE
from sluice.pipelines._check import touch_store
from sluice.project_tools.component_names import outside_names
from sluice.running.catalog import find_pipeline, pipeline_names

ROOT = Path(__file__).parents[2]


@pytest.fixture(params=pipeline_names())
def spec(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    target = tmp_path / "pipeline.yaml"
    compiler.Compiler().compile(find_pipeline(request.param).component, str(target))
    return next(yaml.safe_load_all(target.read_text()))


def test_every_parameter_has_a_default_and_one_sentence(spec: dict[str, Any]) -> None:
    for name, parameter in spec["root"]["inputDefinitions"]["parameters"].items():
        assert parameter.get("isOptional"), f"{name}: without a default KFP's form cannot be sent"
        assert parameter.get("description", "").endswith("."), name


def test_every_parameter_of_every_step_is_described(spec: dict[str, Any]) -> None:
    for step, component in spec["components"].items():
        for name, parameter in component.get("inputDefinitions", {}).get("parameters", {}).items():
            assert parameter.get("description", "").endswith("."), f"{step}: {name}"


def test_nothing_is_installed_when_a_pod_starts(spec: dict[str, Any]) -> None:
    for name, executor in spec["deploymentSpec"]["executors"].items():
        assert "pip install" not in str(executor), name
        assert executor["container"]["image"] in (TABULAR_IMAGE, TORCH_IMAGE), name


def test_what_depends_on_the_world_outside_is_never_reused(spec: dict[str, Any]) -> None:
    tasks = spec["root"]["dag"]["tasks"]
    reused = {name for name, task in tasks.items() if task["cachingOptions"].get("enableCache")}
    assert not reused & {"ingest", "ingest-images", "evaluate", "register", "report", "score"}
    assert reused & {"train", "train-distributed"} or set(tasks) == {"score"}


def test_what_is_reused_hangs_on_content_addresses_alone(spec: dict[str, Any]) -> None:
    """KFP's cache knows an input artifact by a number that is new whenever the step before ran."""
    for name, task in spec["root"]["dag"]["tasks"].items():
        if task["cachingOptions"].get("enableCache"):
            assert not task["inputs"].get("artifacts"), name


def test_no_dataset_goes_through_kfps_launcher(spec: dict[str, Any]) -> None:
    """It refuses an input artifact outside the buckets that it knows."""
    for name, component in spec["components"].items():
        for artifact in component.get("inputDefinitions", {}).get("artifacts", {}).values():
            assert artifact["artifactType"]["schemaTitle"] not in ("system.Dataset", "system.Model"), name


def test_pipelines_name_their_parameters_as_the_readme_does() -> None:
    table = (ROOT / "README.md").read_text()
    for name in pipeline_names():
        assert f"`{name}`" in table


@pytest.mark.parametrize("path", sorted(ROOT.glob("components/*/component.py")), ids=lambda p: p.parent.name)
def test_a_component_is_thin_and_its_code_knows_nothing_of_kfp(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 70
    for module in path.parent.glob("*.py"):
        if module.name == "component.py" or module.parts[-2:] == ("train_distributed", "trainjobs.py"):
            continue
        for node in ast.walk(ast.parse(module.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not any(name.split(".")[0] in ("kfp", "kubernetes") for name in names), module


def test_no_component_takes_anything_from_outside_its_function() -> None:
    """KFP carries the source of the function alone."""
    files = [*ROOT.glob("components/*/component.py"), *ROOT.glob("pipelines/*.py"), *ROOT.glob("examples/*/*.py")]
    assert len(files) > 20
    assert [(path, each) for path in files for each in outside_names(path.read_bytes(), str(path))] == []


def test_helm_tests_step_takes_nothing_from_outside_its_function(tracked_home: Path) -> None:
    """KFP carries the source of the function alone."""
    source = "".join(inspect.getsourcelines(touch_store.python_func)[0])
    names: dict[str, Any] = {}
    exec(source[source.index("def ") :], names)
    assert names["touch_store"]() == "whole"
