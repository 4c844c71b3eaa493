"""What the worker of train_distributed costs beside the training: its rows a second against a bare DDP loop's.

    python tests/benchmarks/distributed_training.py [--rows 60000] [--rounds 60]

Both train the same network on the same batches of the same rows, in the same two processes of this machine under
torchrun, with the same optimiser, moving average and losses by epoch, an epoch each in turn: so a busy machine slows
both. The worker also seeds each step, keeps its progress, writes checkpoints and tells what it does. What counts is the
median of the rounds' ratios, with a bootstrap interval.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
ROUNDS = "BENCHMARK_ROUNDS"
WARM_UP = 3  # rounds that do not count
RESULT = "rates "


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--rows", type=int, default=60_000)
    words.add_argument("--rounds", type=int, default=60)
    given = words.parse_args()
    with tempfile.TemporaryDirectory(prefix="sluice-") as home:
        os.environ["SLUICE_HOME"] = home
        show(measure(dataset(given.rows), given.rounds))


def dataset(rows: int) -> str:
    """A split dataset as large as the flights'; its address."""
    from tests.unit.test_train_step import dataset, labelled

    return dataset(train=labelled(rows, 0), validation=labelled(rows // 5, 1)).uri


def measure(splits: str, rounds: int) -> dict[str, list[float]]:
    """Rows a second of the worker and of the bare loop, round by round."""
    from sluice.modeling.distributed.job_settings import JOB, Job, Learning

    epochs = rounds + WARM_UP
    job = Job(
        splits, "training/benchmark", Learning(workers=2, epochs=epochs, patience=epochs), checkpoint_seconds=10.0
    )
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr=127.0.0.1"]
    own = {JOB: job.to_json(), "SLUICE_DEVICE": "cpu", "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    with subprocess.Popen(
        [*launch, "--nproc-per-node=2", "-m", "tests.benchmarks.distributed_training"],
        env=os.environ | own | {ROUNDS: str(rounds)}, cwd=ROOT, text=True, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        found: dict[str, list[float]] = {}
        for line in process.stdout or ():
            if line.startswith(RESULT):
                found = json.loads(line.removeprefix(RESULT))
            else:
                print(line, end="", flush=True)
    if process.returncode or not found:
        raise SystemExit(process.returncode or 1)
    return found


def work() -> None:
    """One of the two processes: an epoch of the worker and one of the bare loop in turn; rank 0 tells the rates."""
    import torch.distributed as dist

    from sluice.modeling.distributed.checkpoints import Checkpoints
    from sluice.modeling.distributed.epochs import Course
    from sluice.modeling.distributed.groups import joined
    from sluice.modeling.distributed.job_settings import JOB, job_from_json
    from sluice.modeling.distributed.learning import Learner
    from sluice.modeling.network_fitting import table_model
    from sluice.modeling.parts import read_parts
    from sluice.modeling.threads import fixed_threads
    from sluice.storage.locations import default_store

    job = job_from_json(os.environ[JOB])
    with read_parts(job.splits) as (_, parts), fixed_threads(1), joined() as group:
        seed = job.learning.seed
        learner = Learner(table_model(parts, seed), parts, job.learning, group)
        checkpoints = Checkpoints(default_store(), job.key, job.digest)
        course = Course(job, learner, checkpoints, group, "worker")
        kinds: dict[str, Callable[[], None]] = {
            "worker": course.epoch,
            "bare": bare(table_model(parts, seed), parts, group.rank, group.size),
        }
        rates: dict[str, list[float]] = {kind: [] for kind in kinds}
        for number in range(int(os.environ[ROUNDS]) + WARM_UP):
            for kind in list(kinds)[:: 1 if number % 2 else -1]:
                dist.barrier()
                began = time.perf_counter()
                kinds[kind]()
                rates[kind].append(len(parts.train.labels) / (time.perf_counter() - began))
        if group.first:
            print(RESULT + json.dumps({kind: values[WARM_UP:] for kind, values in rates.items()}), flush=True)


def bare(model: Any, parts: Any, rank: int, size: int) -> Callable[[], None]:
    """An epoch of the bare loop: what a tutorial of DDP would write for this network."""
    import numpy as np
    import torch
    import torch.distributed as dist
    from torch import nn
    from torch.nn.parallel import DistributedDataParallel
    from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

    from sluice.modeling.network_fitting import AVERAGING, LEARNING_RATE, WEIGHT_DECAY, batch_rows
    from sluice.modeling.networks import predict_tensors
    from sluice.modeling.parts import log_loss

    network = DistributedDataParallel(model.network, broadcast_buffers=False)
    rows = [model.tensors(part.rows.iloc[rank::size]) for part in (parts.train, parts.sample, parts.validation)]
    labels = [np.ascontiguousarray(part.labels[rank::size]) for part in (parts.train, parts.sample, parts.validation)]
    targets = torch.from_numpy(labels[0])
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True)
    average = AveragedModel(model.network, multi_avg_fn=get_ema_multi_avg_fn(AVERAGING))
    batch = batch_rows(len(parts.train.labels)) // size

    def epoch() -> None:
        model.network.train()
        for places in torch.randperm(len(targets)).split(batch):
            optimizer.zero_grad(set_to_none=True)
            nn.functional.cross_entropy(network(*(part[places] for part in rows[0])), targets[places]).backward()
            optimizer.step()
            average.update_parameters(model.network)
        found = [log_loss(labels[n], predict_tensors(average.module, rows[n])) for n in (1, 2)]
        dist.all_reduce(torch.tensor(found))

    return epoch


def show(rates: dict[str, list[float]]) -> None:
    import numpy as np
    from scipy.stats import bootstrap

    print(f"| rows a second ({len(rates['bare'])} rounds) | best | median |")
    print("|---|---:|---:|")
    for kind, values in rates.items():
        print(f"| {kind} | {max(values):,.0f} | {statistics.median(values):,.0f} |")
    pairs = [mine / other for mine, other in zip(rates["worker"], rates["bare"], strict=True)]
    found = bootstrap((pairs,), np.median, rng=np.random.default_rng(2013)).confidence_interval
    low, high = np.quantile(pairs, (0.25, 0.75))
    print(
        f"ratio of a round: median {statistics.median(pairs):.3f} (95 %: {found.low:.3f} to {found.high:.3f})", end=""
    )
    print(f", half of them between {low:.3f} and {high:.3f}")


if __name__ == "__main__":
    work() if ROUNDS in os.environ else main()
