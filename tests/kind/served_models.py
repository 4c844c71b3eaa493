"""Versions of a registered model for the tests of its servers: trained from here, and one that is planted."""

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

from sluice.artifacts.bundles import Bundle, bundle_key, local_copy, open_bundle, publish, workspace
from sluice.artifacts.producer import producer
from sluice.exporting.graph_session import DIGEST_NOTE
from sluice.modeling.model_digests import DIGEST
from sluice.serving.served_versions import SERVED
from sluice.storage.stores import Store
from tests.foreign_projects import laid_out
from tests.kind.cluster import Cluster

MODEL = "iris"
_QUICK = ("-p", "max_rounds=5", "-p", "resamples=50")
RUNS = tuple(
    (*_QUICK, "-p", f"candidates=zero-rule,heuristic,{name}")
    for name in ("logistic-regression", "gradient-boosted-trees")
)
"""What the runs of the two versions are told; each registers another one, and the first is champion."""


def trained(cluster: Cluster, client: Any, folder: Path) -> Path:
    """Two versions, the first of them champion, by runs on this machine with the cluster's store and registry, as who
    may register; the project. What an earlier session registered is taken.
    """
    project = laid_out(MODEL, folder)
    if len(client.search_model_versions(f"name = '{MODEL}'")) < len(RUNS):
        for more in RUNS:
            done = sluice(cluster, folder, "run", ".", *more, inside=project)
            assert done.returncode == 0, done.stdout + done.stderr
    if str(client.get_model_version_by_alias(MODEL, "champion").version) != "1":
        promote(cluster, project, "1")
    return project


def promote(cluster: Cluster, project: Path, number: str) -> None:
    """Move the alias of the champion, as who may promote."""
    words = ("promote", f"{MODEL}/{number}", "--reason", "to see the alias move")
    done = sluice(cluster, project.parent, *words, inside=project)
    assert done.returncode == 0, done.stderr


def sluice(cluster: Cluster, home: Path, *words: str, inside: Path) -> "subprocess.CompletedProcess[str]":
    """The `sluice` command of this machine, which works with the cluster's store and registry."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "SLUICE_", "AWS_"))}
    environment = kept | cluster.access("sluice-register") | {"SLUICE_HOME": str(home / "home"), "COLUMNS": "140"}
    command = [sys.executable, "-P", "-m", "sluice", *words]
    return subprocess.run(
        command, cwd=inside, env=environment, capture_output=True, text=True, timeout=900, check=False
    )


def served(store: Store, client: Any, number: str) -> Bundle:
    """The folder that servers load for a version."""
    folder = client.get_model_version(MODEL, number).tags[SERVED]
    return open_bundle(f"{store.uri}/{bundle_key('model', folder)}", "model")


def plant(store: Store, client: Any, number: str) -> str:
    """A version like another one, but its probabilities add up to more than 1; its number."""
    import onnx

    source, digest = client.get_model_version(MODEL, number), secrets.token_hex(32)
    with local_copy(served(store, client, number)) as good, workspace(store) as folder:
        described = json.loads((good / "serving.json").read_text()) | {"digest": digest}
        (folder / "serving.json").write_text(json.dumps(described))
        model = onnx.load(str(good / "model.onnx"))
        for note in model.metadata_props:
            note.value = digest if note.key == DIGEST_NOTE else note.value
        (output,) = model.graph.output
        for node in model.graph.node:
            node.output[:] = ["right" if name == output.name else name for name in node.output]
        model.graph.initializer.append(onnx.helper.make_tensor("more", onnx.TensorProto.DOUBLE, [1], [1.1]))
        model.graph.node.append(onnx.helper.make_node("Mul", ["right", "more"], [output.name]))
        onnx.save(model, str(folder / "model.onnx"))
        details = {"model": MODEL, "model_digest": digest}
        bundle = publish(store, folder, "model", producer("serve", {}), details=details, move=True)
    tags = dict(source.tags) | {DIGEST: digest, SERVED: bundle.id}
    model = source.source.removeprefix("models:/")
    return str(client.create_model_version(MODEL, source.source, source.run_id, tags, model_id=model).version)
