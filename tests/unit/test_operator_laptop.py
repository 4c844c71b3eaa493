"""The operator on one machine: its file, and what it keeps."""

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sluice.core.errors import BadInput, EnvironmentFault
from sluice.operator.on_laptop.clock import DrivenClock, moment_of
from sluice.operator.on_laptop.documents import read_documents, read_operated
from sluice.operator.on_laptop.kept_files import KeptFiles, KeptRequest, KeptRun, KeptState
from sluice.operator.specs import ContinuousTrainingSpec, RequestSpec
from sluice.operator.worlds import Conflict

NOW = datetime(2013, 4, 1, tzinfo=UTC)
FLIGHTS = Path(__file__).parents[2] / "examples" / "flights"
TRAINING = """apiVersion: sluice.dev/v1alpha1
kind: ContinuousTraining
metadata: {name: houses}
spec: {project: houses, model: houses}
"""


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KeptFiles:
    monkeypatch.setenv("SLUICE_HOME", str(tmp_path / "home"))
    return KeptFiles("houses")


def test_the_flights_file_is_read_with_the_past_that_it_lives_again() -> None:
    operated = read_operated(FLIGHTS)
    assert (operated.name, operated.training.model) == ("flights-late", "flights-late")
    assert operated.rehearsal is not None
    assert operated.rehearsal.arrivals == "year.py:arrive"


def test_a_second_document_is_found_where_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "operate.yaml"
    path.write_text(f"# first\n{TRAINING}---\n{TRAINING.replace('model: houses', 'modle: houses')}")
    with pytest.raises(BadInput, match=r"operate.yaml, the document in line 6: spec.model: Field required"):
        read_documents(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kind: ContinuousTraining", "write `apiVersion: sluice.dev/v1alpha1`"),
        (TRAINING.replace("ContinuousTraining", "ContinousTraining"), "kind 'ContinousTraining' is not operated here"),
        (TRAINING.replace("houses}\nspec", "Houses}\nspec"), "metadata.name 'Houses' is no name"),
        (TRAINING + "more: 1\n", "'more' is no entry of a resource"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "operate.yaml"
    path.write_text(text)
    with pytest.raises(BadInput) as refused:
        read_documents(path)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_of_two_who_save_at_once_one_is_refused(files: KeptFiles) -> None:
    first = files.save(KeptState(uid="a", status={"phase": "Idle"}), 0)
    assert files.state("a") == first
    with pytest.raises(Conflict):
        files.save(KeptState(uid="a", status={"phase": "Training"}), 0)
    assert files.save(KeptState(uid="a", status={"phase": "Training"}), 1).save == 2
    assert files.state("b").save == 0  # another file of the same name begins anew


def test_a_second_operator_is_refused_and_a_killed_one_frees_its_place(files: KeptFiles, tmp_path: Path) -> None:
    code = (
        "import sys, time\nfrom sluice.operator.on_laptop.kept_files import KeptFiles\n"
        "with KeptFiles('houses').alone():\n    print('held', flush=True)\n    time.sleep(60)\n"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        env={**os.environ, "SLUICE_HOME": str(tmp_path / "home")},
    )
    assert other.stdout is not None
    assert other.stdout.readline() == b"held\n"
    assert files.operated()
    with pytest.raises(EnvironmentFault, match="operated by another process"), files.alone():
        pass
    other.send_signal(signal.SIGKILL)
    other.wait(30)
    with files.alone():
        assert files.operated()
    assert not files.operated()


def test_runs_and_requests_come_back_as_they_were_kept(files: KeptFiles) -> None:
    run = KeptRun(key="f" * 64, run="houses-ffff", parameters=("a=1",), reason="new data", ordered=NOW)
    files.keep_run(run)
    assert files.run("f" * 64) == run
    assert files.runs() == [run]
    spec = RequestSpec(action="train", target="houses", by="ada")
    files.keep_request(KeptRequest(uid="one", spec=spec, created=NOW))
    files.keep_request(KeptRequest(uid="one", spec=spec, created=NOW, accepted=True, words="done"))
    assert [each.accepted for each in files.requests()] == [True]
    (files.folder / "runs" / f"{'f' * 64}.json").write_text("{")
    with pytest.raises(BadInput, match="move it away to begin anew"):
        files.runs()


def test_a_driven_clock_never_goes_back() -> None:
    clock = DrivenClock(NOW)
    clock.passed(timedelta(minutes=9))
    clock.drive(NOW)
    assert clock.now() == NOW + timedelta(minutes=9)
    assert moment_of("2013-06-01", "--until") == datetime(2013, 6, 1, tzinfo=UTC)
    with pytest.raises(BadInput, match="--until 'soon' is no moment"):
        moment_of("soon", "--until")


def test_a_spec_of_the_laptop_is_one_of_a_cluster() -> None:
    operated = read_operated(FLIGHTS)
    assert ContinuousTrainingSpec.model_validate(operated.training.document()) == operated.training
