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


@pytest.mark.parametrize("name", ["weather", "orders"])
def test_a_project_gives_the_same_ids_splits_and_metrics_as_on_a_laptop(
    cluster: Cluster, store: Store, tmp_path: Path, name: str
) -> None:
    sluice = InFolder(laid_out(name, tmp_path), tmp_path / "home")
    before = images()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(sluice.result, "run", *words(name))
        told = cluster.sluice("submit", str(sluice.project), "--json", *words(name)).stdout
        here = running.result()["result"]
    submitted: dict[str, Any] = json.loads(told)
    assert images() == before, "an image was built"
    there = submitted["result"]
    assert same_in_both(there) == same_in_both(here)
    key = f"datasets/{here['datasets']['split']}/manifest.json"
    tables = json.loads(store.get_bytes(key))["tables"]
    local = json.loads((sluice.home / "store" / key).read_text())["tables"]
    assert {part: tables[part]["rows"] for part in PARTS} == {part: local[part]["rows"] for part in PARTS}
    assert list(store.keys("code/")) or name == "weather", "the project's code did not go along"
    assert cluster.state(submitted["run"]) == "SUCCEEDED"
