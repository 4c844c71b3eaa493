"""Anybody's projects on a real cluster: code and data go along, no image is built, the numbers are the laptop's."""

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sluice.storage.stores import Store
from tests.foreign_projects import InFolder, laid_out, same_in_both, words
from tests.kind.cluster import Cluster

PARTS = ("train", "validation", "test")


def images() -> set[str]:
    """The images that this machine's engine has."""
    listed = subprocess.check_output(["docker", "image", "ls", "--no-trunc", "--quiet"], text=True)
    return set(listed.split())


@pytest.mark.long
def test_projects_give_the_same_ids_splits_and_metrics_as_on_a_laptop(
    cluster: Cluster, store: Store, tmp_path: Path
) -> None:
    """Two at once, as two people submit: a number by time, and two tables with code of the project's own."""
    before, names = images(), ("weather", "orders")
    projects = {name: InFolder(laid_out(name, tmp_path), tmp_path / f"home-{name}") for name in names}
    with ThreadPoolExecutor(2 * len(names)) as pool:
        there = {name: pool.submit(on_the_cluster, cluster, projects[name], name) for name in names}
        here = {name: pool.submit(projects[name].result, "run", *words(name)) for name in names}
    assert images() == before, "an image was built"
    for name in names:
        check_equal(cluster, store, projects[name], here[name].result()["result"], there[name].result())
    assert list(store.keys("code/")), "the project's code did not go along"


def on_the_cluster(cluster: Cluster, sluice: InFolder, name: str) -> dict[str, Any]:
    return dict(json.loads(cluster.sluice("submit", str(sluice.project), "--json", *words(name)).stdout))


def check_equal(
    cluster: Cluster, store: Store, sluice: InFolder, here: dict[str, Any], submitted: dict[str, Any]
) -> None:
    there = submitted["result"]
    assert same_in_both(there) == same_in_both(here)
    key = f"datasets/{here['datasets']['split']}/manifest.json"
    tables = json.loads(store.get_bytes(key))["tables"]
    local = json.loads((sluice.home / "store" / key).read_text())["tables"]
    assert {part: tables[part]["rows"] for part in PARTS} == {part: local[part]["rows"] for part in PARTS}
    assert cluster.state(submitted["run"]) == "SUCCEEDED"
