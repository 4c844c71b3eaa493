"""The image pipeline, end to end: PNG files in, a registered convolutional network out."""

import json
from pathlib import Path

import pytest

from tests.examples import DIGITS, module
from tests.sluice_command import Sluice


@pytest.mark.long  # minutes; kind trains networks, and tests/unit/test_train_*.py those of images
def test_digits_become_a_registered_network(tmp_path: Path) -> None:
    sluice = Sluice(tmp_path)
    module(DIGITS, "lake").lay_out_digits(tmp_path / "images")
    done = sluice("run", DIGITS, "-p", f"lake={tmp_path / 'images'}", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout)["result"]
    assert result["decision"] == "promoted", result
    winner = next(row for row in result["candidates"] if row["name"] == result["winner"])
    assert winner["metrics"]["accuracy"]["value"] > 0.9
