"""docs/extending.md as a reader types it: one project with something of its own of each kind, run by the command."""

import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sluice.reporting.pages import sections_of
from tests.sluice_command import Sluice

DOCUMENT = Path(__file__).parents[2] / "docs/extending.md"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the document's blocks, joined by name, and 1,000 houses."""
    folder = tmp_path_factory.mktemp("extending")
    for name, text in re.findall(r"```\w+ (\S+\.\w+)\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text((path.read_text() + "\n\n" if path.exists() else "") + text)
    generator = np.random.default_rng(1)
    rooms, area = generator.integers(1, 9, 1000), generator.gamma(9, 12, 1000)
    price = 50_000 + 900 * area + 8_000 * rooms + generator.normal(0, 20_000, 1000)
    houses = {"id": np.arange(1000), "rooms": rooms, "area": area, "price": price}
    region = generator.choice(["north", "south", "west"], 1000)
    pq.write_table(pa.table(houses | {"region": region}), folder / "data/houses.parquet")
    return folder


def test_a_project_with_its_own_of_each_kind_runs(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    sluice = Sluice(project / ".sluice")
    checked = sluice("check")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    done = sluice("run", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    result = told["result"]
    assert {row["name"] for row in result["candidates"]} >= {"mean", "linear-regression", "learning.Plain"}
    assert result["metric"]["name"] == "cost"
    assert (result["problem"], result["problem_name"]) == ("regression", "pricing.py:prices")
    assert all(row["metrics"]["gamma_deviance"]["value"] > 0 for row in result["candidates"])
    assert all(0 <= row["metrics"]["off_by_half"]["value"] < 0.5 for row in result["candidates"])
    check = next(row for row in result["checks"] if row["name"] == "largest_error")
    assert (check["status"], check["origin"], check["settings"]) == (
        "passed",
        "judging.py:largest_error",
        {"most": 50000},
    )
    page = Path(told["report"]).read_text(encoding="utf-8")
    (section,) = (each for each in sections_of(page) if each.id == "own-regions")
    assert section.title == "Errors by region"
    assert "north" in section.html

    (project / "sluice.yaml").write_text((project / "counting.yaml").read_text())
    counted = sluice("run", "--json")
    assert counted.returncode == 0, counted.stderr
    assert json.loads(counted.stdout)["outputs"] == {"Output": 1000}
    (project / "steps.py").write_text("def count_rows(prepared):\n    return prepared.rows\n")
    broken = sluice("run")
    assert "step steps.py:count_rows: steps.py:2: AttributeError" in broken.stderr
    assert broken.returncode == 2
