"""A registered model loads where Sluice is not, from its own requirements and the code that travels with it."""

import ast
import json
import sys
from pathlib import Path

import mlflow
import numpy as np
import pytest

from sluice.registry.model_code import imported_modules, model_code
from tests.unit import served_world
from tests.unit.bare_environment import linked_packages, run_bare

FRAME, _ = served_world.rows(20, seed=4)
# What the code that travels may import beside Python's own modules: it has to be in the requirements of some model.
PACKAGES = {"duckdb", "mlflow", "numpy", "pandas", "PIL", "safetensors", "scipy", "skops", "sklearn", "torch", "yaml"}
# What would drag in stores, trackers and clusters.
TOO_MUCH = {"bundles", "mlflow_access", "versions", "step", "stores", "s3", "tracking", "manifests"}

PREDICT = """
import json, sys
import mlflow, pandas as pd
served = mlflow.pyfunc.load_model(sys.argv[1])
answer = served.predict(pd.DataFrame(json.loads(sys.argv[2])), params={"decision": True})
ours = {name.split(".")[0] for name in sys.modules} & {"components", "sluice", "kfp", "kubernetes", "ibis", "minio"}
print(json.dumps({"late": answer["late"].tolist(), "decision": answer["decision"].tolist(), "ours": sorted(ours)}))
"""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("logistic-regression", marks=pytest.mark.long),  # all that it imports, the network does, too
        "embedding-network",
        pytest.param("random", marks=pytest.mark.long),  # and all of this one
    ],
)
def test_a_model_loads_where_only_its_requirements_are(tmp_path: Path, name: str) -> None:
    folder = served_world.saved(tmp_path / "model", name)
    stated = (folder / "requirements.txt").read_text().split()
    packages = linked_packages(tmp_path / "packages", stated)
    table = FRAME.drop(columns="arrival_minute")
    minutes = FRAME["arrival_minute"]
    table["sched_arr_time"] = minutes // 60 * 100 + minutes % 60
    rows = json.dumps(json.loads(table.to_json(orient="records")))
    found = json.loads(run_bare(packages, PREDICT, str(folder), rows, home=tmp_path).splitlines()[-1])
    assert found["ours"] == []
    wanted = served_world.model(name).predict_proba(FRAME[list(served_world.TASK.features)])[:, 1]
    np.testing.assert_allclose(found["late"], wanted, rtol=1e-6)
    assert found["decision"] == np.where(wanted >= served_world.THRESHOLD.value, "late", "on time").tolist()


def test_the_code_that_travels_is_closed_and_small() -> None:
    code = model_code()
    assert code == model_code()
    modules = {name.removesuffix(".py").replace("/", ".") for name in code.files}
    assert not {module.rpartition(".")[2] for module in modules} & TOO_MUCH
    for name, text in code.files.items():
        for node in ast.walk(ast.parse(text)):
            names = [node.module] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for imported in map(str, names):
                top, *rest = imported.split(".")
                if rest[-1:] == ["bundles"]:  # for the type checker only
                    continue
                assert top in sys.stdlib_module_names | PACKAGES | {code.package}, f"{name} imports {imported}"
                assert top != code.package or ".".join(rest) in modules


def test_late_imports_travel_too() -> None:
    late = {"modeling.networks", "modeling.sklearn_models", "modeling.baselines"}
    assert late <= set(imported_modules("registry.pyfunc_loader"))


def test_changed_code_is_noticed(tmp_path: Path) -> None:
    folder = served_world.saved(tmp_path / "model")
    (path,) = folder.rglob("tree_checks.py")
    path.write_text(path.read_text() + "\n# changed\n")
    with pytest.raises(mlflow.MlflowException, match="the code differs from the registered digest"):
        mlflow.pyfunc.load_model(str(folder))
