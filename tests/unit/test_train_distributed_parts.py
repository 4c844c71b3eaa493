"""Settings, checkpoints and the learner, in one process."""

import json
from dataclasses import replace
from typing import Any

import pytest
import torch

from sluice.core.errors import BadInput
from sluice.modeling.distributed.checkpoints import Checkpoint, Checkpoints, Progress, decode, encode
from sluice.modeling.distributed.groups import PeerLost, ProcessGroup, peer_faults
from sluice.modeling.distributed.job_settings import Job, Learning, check_settings, job_from_json
from sluice.modeling.distributed.learning import Learner
from sluice.modeling.distributed.naming import job_name
from sluice.modeling.distributed.specs import LONGEST_NAME
from sluice.modeling.network_fitting import table_model
from sluice.modeling.rounds import Point
from sluice.storage.stores import Store
from tests.unit.model_world import table_parts

CPU = torch.device("cpu")
ALONE = ProcessGroup(0, 1, CPU)
JOB = Job("store/datasets/x", "training/x", Learning(), 10.0)
STATE = Checkpoint(
    Progress(7, 1.5, 2.5, (Point(1, 0.5, 0.6, 0.7),), 1), {"a": torch.arange(6.0).reshape(2, 3), "n": torch.tensor(3)}
)


def learner(seed: int = 1, group: ProcessGroup = ALONE) -> Learner:
    parts = table_parts(300)
    return Learner(table_model(parts, seed), parts, Learning(batch_rows=64, seed=seed), group)


def same(one: Learner, other: Learner) -> bool:
    pairs = ((value, other.state()[name]) for name, value in one.state().items())
    return one.state().keys() == other.state().keys() and all(torch.equal(a, b) for a, b in pairs)


def test_a_learner_goes_on_from_a_checkpoint_to_the_last_bit() -> None:
    undisturbed, first, second = learner(), learner(), learner()
    for number in range(9):
        undisturbed.step(number)
        if number == 5:
            undisturbed.keep()
    for number in range(6):
        first.step(number)
    first.keep()
    torch.rand(11)  # other code may draw numbers in between
    data = encode(Checkpoint(Progress(6), first.state()), JOB.digest)
    second.restore(decode(data, JOB.digest, "here").tensors)
    assert same(first, second)
    for number in range(6, 9):
        second.step(number)
    assert same(second, undisturbed)
    assert second.losses() == undisturbed.losses()


def test_dropout_differs_between_steps_and_ranks() -> None:
    """Else every rank would leave out the same activations in every step."""
    seeds = {learner(group=ProcessGroup(rank, 1, CPU))._number("step", step) for rank in range(3) for step in range(50)}
    assert len(seeds) == 150


def test_every_row_is_in_one_shard_and_every_epoch_takes_each_row_once() -> None:
    groups = [ProcessGroup(rank, 3, CPU) for rank in range(3)]
    shards = [list(range(100))[group.shard(100)] for group in groups]
    assert sorted(row for shard in shards for row in shard) == list(range(100))
    one = learner()
    taken: list[int] = []
    for number in range(one.steps_an_epoch):
        one.step(number)
        taken += one._order[number * one.batch : (number + 1) * one.batch].tolist()
    assert sorted(taken) == list(range(300))
    before = one._order.clone()
    one.step(one.steps_an_epoch)
    assert not torch.equal(before, one._order), "each epoch has an order of its own"


def test_a_checkpoint_is_what_was_written(store: Store) -> None:
    checkpoints = Checkpoints(store, "training/x", JOB.digest)
    assert checkpoints.read() == b""
    checkpoints.write(STATE)
    newer = replace(STATE, progress=replace(STATE.progress, step=8))
    checkpoints.write(newer)
    found = checkpoints.decode(checkpoints.read())
    assert found.progress == newer.progress
    assert {name: tensor.tolist() for name, tensor in found.tensors.items()} == {
        "a": [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]],
        "n": 3,
    }
    assert list(store.keys("training/")) == ["training/x/checkpoint.safetensors"]
    checkpoints.delete()
    assert checkpoints.read() == b""


def damage(place: int) -> bytes:
    data = bytearray(encode(STATE, JOB.digest))
    data[place] ^= 1
    return bytes(data)


@pytest.mark.parametrize(
    "data",
    [b"", b"short", encode(STATE, JOB.digest)[:-1], damage(-1), damage(0), damage(40), b"\x80\x04pickle" * 9],
    ids=["empty", "short", "truncated", "tensor", "length", "header", "pickle"],
)
def test_a_damaged_checkpoint_is_refused(data: bytes) -> None:
    with pytest.raises(BadInput, match=r"here is no readable checkpoint .* delete it to begin"):
        decode(data, JOB.digest, "here")


def test_changed_progress_is_refused() -> None:
    data = encode(STATE, JOB.digest)
    assert data.count(b'\\"step\\": 7') == 1
    with pytest.raises(BadInput, match="differs from its SHA-256"):
        decode(data.replace(b'\\"step\\": 7', b'\\"step\\": 6'), JOB.digest, "here")


@pytest.mark.parametrize("other", [replace(JOB, splits="y"), replace(JOB, learning=Learning(seed=1))])
def test_another_jobs_checkpoint_is_refused(other: Job) -> None:
    with pytest.raises(BadInput, match="checkpoint of another job"):
        decode(encode(STATE, other.digest), JOB.digest, "here")


def test_a_job_survives_its_variable() -> None:
    assert job_from_json(JOB.to_json()) == JOB


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 2}', JOB.to_json().replace("splits", "split")])
def test_a_variable_that_is_no_job_is_named(text: str) -> None:
    with pytest.raises(BadInput, match="SLUICE_TRAINING_JOB does not describe a job"):
        job_from_json(text)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"workers": 0}, "parameter 'workers' is 0; give a whole number from 1"),
        ({"workers": 2000}, "parameter 'workers' is 2000; give a whole number from 1 to 1024"),
        ({"epochs": -1}, "parameter 'epochs' is -1"),
        ({"patience": 0}, "parameter 'patience' is 0"),
        ({"batch_rows": -1}, "parameter 'batch_rows' is -1"),
        ({"learning_rate": 0.0}, "parameter 'learning_rate' is 0.0; give a number above 0"),
        ({"learning_rate": float("nan")}, "parameter 'learning_rate' is nan"),
        ({"checkpoint_seconds": -1.0}, "parameter 'checkpoint_seconds' is -1.0"),
        ({"max_restarts": -1}, "parameter 'max_restarts' is -1"),
        ({"timeout_seconds": 0}, "parameter 'timeout_seconds' is 0"),
        ({"seed": 2**31}, "parameter 'seed' is 2147483648"),
        ({"runtime": "Torch CPU"}, "parameter 'runtime' is 'Torch CPU', which no TrainingRuntime"),
    ],
)
def test_a_parameter_out_of_its_range_is_named(given: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        check_settings(given)


def test_only_what_decides_the_numbers_decides_the_name() -> None:
    learning, running = check_settings({"workers": 3, "runtime": "torch-gpu", "splits": "ignored"})
    assert (learning.workers, running.runtime) == (3, "torch-gpu")
    name = job_name("run", "source", learning)
    assert name == job_name("run", "source", Learning(workers=3))
    assert len({name, job_name("run", "source", Learning()), job_name("other", "source", learning)}) == 3
    # JobSet adds `-node-0-<index>` and Kubernetes five characters more.
    assert len(name) <= LONGEST_NAME
    assert json.loads(Job("a", "b", learning, 1.0).to_json())["learning"]["workers"] == 3


@pytest.mark.parametrize("text", ["Connection closed by peer", "[gloo/pair.cc] Read error", "NCCL error"])
def test_a_lost_peer_is_one_line(text: str) -> None:
    with pytest.raises(PeerLost, match="lost contact with another worker"), peer_faults():
        raise RuntimeError(text)


def test_a_defect_stays_a_defect() -> None:
    with pytest.raises(RuntimeError, match="shape"), peer_faults():
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")
