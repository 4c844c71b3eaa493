"""What helm prints after an installation."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.charts.rendering import CASES, CHART, NAMESPACE, SERVED, SETTINGS, flags, program

CARRIER = """apiVersion: v1
kind: ConfigMap
metadata: {name: printed}
data:
  notes: {{ tpl (.Files.Get "printed.txt") . | toJson }}
"""


@pytest.fixture(scope="module")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the chart that renders its notes into a ConfigMap: `helm template` leaves them out."""
    copy = tmp_path_factory.mktemp("notes") / "sluice"
    shutil.copytree(CHART, copy, ignore=shutil.ignore_patterns("crds", "__pycache__"))
    (copy / "templates/NOTES.txt").rename(copy / "printed.txt")
    (copy / "templates/printed.yaml").write_text(CARRIER)
    return copy


def notes(chart: Path, files: tuple[str, ...] = (), settings: tuple[str, ...] = ()) -> str:
    command = [program("helm"), "template", "sluice", str(chart), "--namespace", NAMESPACE]
    command += ["--show-only", "templates/printed.yaml", *SERVED, *flags(files, settings)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return str(yaml.safe_load(done.stdout)["data"]["notes"])


@pytest.mark.parametrize("name", [*CASES, *SETTINGS])
def test_notes_render(chart: Path, name: str) -> None:
    said = notes(chart, CASES.get(name, ()), SETTINGS.get(name, ()))
    assert "%!" not in said
    assert "<no value>" not in said
    assert max(map(len, said.splitlines())) < 200


def test_notes_say_where_things_are(chart: Path) -> None:
    plain, kind = notes(chart), notes(chart, CASES["hermetic"])
    assert "kubectl -n sluice port-forward service/ml-pipeline-ui 8080:80" in plain
    assert "port 30888 of each node; after `make kind`: http://localhost:8888" in kind
    assert "ml-pipeline-ui" not in kind
    assert "kubectl -n elsewhere get pods" in notes(chart, settings=("runs.namespace=elsewhere",))
    assert "Runs  " not in plain
    assert "https://pipelines.example.org" in notes(chart, CASES["production"])


def test_notes_say_what_is_open(chart: Path) -> None:
    plain, kind, production = (notes(chart, CASES[name]) for name in ("default", "kind", "production"))
    assert "KFP's pages and API have no login; nothing opens them but kubectl." in plain
    assert "answer to whoever reaches the addresses above" in kind
    assert "MinIO answers outside the cluster over http" in notes(chart, CASES["kind"], ("tls.enabled=false",))
    assert "answers outside the cluster over http" not in kind + plain
    assert "the ingress controller asks for one" in production
    assert "Steps reach any address on port 443" in production
    assert "Not encrypted between pods: KFP's API and metadata." in plain
    assert "Not encrypted between pods: KFP's API and metadata." in production
    clear = "Not encrypted between pods: the object store, KFP's database, MLflow's database, MLflow, KFP's API"
    assert clear in notes(chart, settings=("tls.enabled=false",))
    assert "One account of the S3" not in production
    foreign = ("minio.enabled=false", "objectStore.host=s3", "objectStore.existingSecret=x", "steps.createSecret=false")
    assert "One account of the S3 serves kfp, mlflow, runs" in notes(chart, settings=foreign)


def test_notes_say_how_to_remove_it_all(chart: Path) -> None:
    assert "delete persistentvolumeclaims,secrets -l app.kubernetes.io/instance=sluice" in notes(chart)
    assert "The data go with it." in notes(chart, settings=("persistence.enabled=false",))
