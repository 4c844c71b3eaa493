"""A fused pipeline's one step, run as KFP's launcher runs it: the same artifacts as a run step by step."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.examples import DIGITS, module, task
from tests.sluice_command import Sluice

SECONDS = 400
COMMIT = "c0ffee" * 6 + "abcd"


def launch(folder: Path, lake: Path, **parameters: Any) -> subprocess.CompletedProcess[str]:
    """Start the module with an executor's input as the launcher fills it in, in a pod's environment."""
    outputs = {
        name: {"artifacts": [{"name": name, "uri": f"minio://mlpipeline/{name}", "customPath": str(folder / name)}]}
        for name in ("report", "result")
    }
    asked = {
        "inputs": {"parameterValues": {"lake": str(lake), "task": task(DIGITS), **parameters}},
        "outputs": {"artifacts": outputs},
    }
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "SLUICE_"))}
    pod = {
        "SLUICE_HOME": str(folder / "home"),
        "SLUICE_RUN": "4f1c0de0-run",
        "SLUICE_COMMIT": COMMIT,  # of the image, which has no checkout
        "SLUICE_TERMINATION_LOG": str(folder / "termination-log"),
    }
    command = [sys.executable, "-m", "sluice.cluster.fused_step", "supervised_images", json.dumps(asked)]
    return subprocess.run(
        command, env=kept | pod, cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Sluice:
    """One with the images."""
    sluice = Sluice(tmp_path_factory.mktemp("plain"))
    module(DIGITS, "lake").lay_out_digits(sluice.home / "store/lakes/digits")
    return sluice


@pytest.fixture(scope="module")
def digits_run(home: Sluice) -> tuple[Sluice, dict[str, Any]]:
    words = ("-p", "lake=lakes/digits", "-p", "candidates=zero-rule,logistic-regression")
    done = home("run", DIGITS, "--json", *words)
    assert done.returncode == 0, done.stderr
    return home, json.loads(done.stdout)


@pytest.mark.long  # two whole runs; those of the operator on kind are fused
def test_fused_or_not_the_artifacts_are_the_same(digits_run: tuple[Sluice, dict[str, Any]], tmp_path: Path) -> None:
    sluice, stepwise = digits_run
    lake = sluice.home / "store/lakes/digits"
    done = launch(
        tmp_path, lake, candidates=["zero-rule", "logistic-regression"], seed=2013.0, seconds_per_candidate=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[sluice] ✓ train" in done.stdout
    fused = json.loads((tmp_path / "result").read_text())
    assert fused["model_digest"] == stepwise["result"]["model_digest"]
    assert fused["candidates"] == stepwise["result"]["candidates"]
    assert fused["datasets"] == stepwise["result"]["datasets"]
    kept = tmp_path / "home/store/runs/4f1c0de0-run"
    assert (kept / "report.html").read_bytes() == (tmp_path / "report").read_bytes()
    assert json.loads((kept / "result.json").read_text()) == fused
    traced = Sluice(tmp_path / "home")("lineage", "digits", "--json")
    told = json.loads(traced.stdout)
    assert told["model"]["run"] == "4f1c0de0-run"
    assert told["model"]["commit"] == COMMIT


def test_a_failing_step_leaves_its_own_line_and_code(home: Sluice, tmp_path: Path) -> None:
    done = launch(tmp_path, home.home / "store/lakes/digits", shares=[0.5, 0.5])
    assert done.returncode == 2, done.stdout + done.stderr
    said = (tmp_path / "termination-log").read_text()
    # A number out of a step's range is refused before the first step, so by the pod's own.
    assert said.startswith("step all-steps failed with exit code 2: ")
    assert "shares" in said
    assert "Traceback" not in done.stderr
