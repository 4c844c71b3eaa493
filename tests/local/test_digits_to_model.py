"""The image pipeline, end to end: PNG files in, a registered convolutional network out."""

import json
from pathlib import Path

from tests.sluice_command import Sluice


def test_digits_become_a_registered_network(tmp_path: Path) -> None:
    sluice = Sluice(tmp_path)
    assert sluice("lake", "digits").returncode == 0
    done = sluice("run", "digits_to_model", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout)["result"]
    assert result["decision"] == "promoted", result
    winner = next(row for row in result["candidates"] if row["name"] == result["winner"])
    assert winner["metrics"]["accuracy"]["value"] > 0.9
