"""A home with a champion is copied to a path that breaks programs, and goes on there as if nothing had happened."""

import json
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from tests.examples import FLIGHTS
from tests.sluice_command import QUICKEST, Sluice

Run = tuple[Sluice, subprocess.CompletedProcess[str]]
PLACE = "a b/python3 [x] {y} {$} #1 100% it's é;&$HOME"


@pytest.mark.long  # another whole run; tests/unit/test_homes.py has hostile paths, step by step
def test_a_home_that_was_moved_to_a_hostile_path_goes_on(first_run: Run, few_flights: Path, tmp_path: Path) -> None:
    before, _ = first_run
    home = tmp_path / PLACE
    shutil.copytree(before.home, home)
    shutil.copytree(few_flights, home / "store" / "lakes" / "flights", dirs_exist_ok=True)
    moved = Sluice(home)
    found = moved("lineage", "flights-late", "--json")
    assert found.returncode == 0, found.stderr
    champion = json.loads(found.stdout)["model"]
    assert "champion" in champion["aliases"]
    done = moved("run", FLIGHTS, "-p", "lake=lakes/flights", "-p", "seed=7", *QUICKEST, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout)
    assert Path(result["report"]).is_relative_to(home)
    with closing(sqlite3.connect(home / "mlflow.db")) as database:
        places = database.execute("SELECT artifact_uri FROM runs UNION SELECT storage_location FROM model_versions")
        own = (home / "mlartifacts").as_uri()
        assert all(place.startswith(f"{own}/") for (place,) in places if place)
