"""What the worker of train_distributed costs beside the training: its rows a second against a bare DDP loop's.

    python tests/benchmarks/distributed_training.py [--rows 60000] [--epochs 6] [--rounds 10]

Both train the same network on the same batches of the same rows, in two processes of this machine under torchrun, with
the same optimiser, moving average and losses by epoch. The worker also seeds each step, keeps its progress, writes
checkpoints and tells what it does. Each round measures both, in turn the one or the other first, so that a busy machine
slows both; what counts is the median of the rounds' ratios, with a bootstrap interval.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy.stats import bootstrap

ROOT = Path(__file__).parents[2]
BARE = "BENCHMARK_BARE"


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--rows", type=int, default=60_000)
    words.add_argument("--epochs", type=int, default=6)
    words.add_argument("--rounds", type=int, default=10)
    given = words.parse_args()
    with tempfile.TemporaryDirectory(prefix="sluice-") as home:
        os.environ["SLUICE_HOME"] = home
        rates: dict[str, list[float]] = {"worker": [], "bare": []}
        splits = dataset(given.rows)
        for number in range(given.rounds):
            for kind in list(rates)[:: 1 if number % 2 else -1]:
                rates[kind].append(measure(kind, splits, given.epochs, f"training/{kind}-{number}"))
                print(f"round {number + 1}: {kind} {rates[kind][-1]:,.0f} rows/s", flush=True)
    show(rates)


def dataset(rows: int) -> str:
    """A split dataset as large as the flights'; its address."""
    from tests.unit.test_train_step import dataset, labelled

    return dataset(train=labelled(rows, 0), validation=labelled(rows // 5, 1)).uri


def measure(kind: str, splits: str, epochs: int, key: str) -> float:
    """Rows a second of one training by two processes."""
    from components.train_distributed.settings import JOB, Job, Learning

    job = Job(splits, key, Learning(workers=2, epochs=epochs, patience=epochs), checkpoint_seconds=10.0)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr=127.0.0.1"]
    module = "components.train_distributed.worker" if kind == "worker" else "tests.benchmarks.distributed_training"
    own = {JOB: job.to_json(), "SLUICE_DEVICE": "cpu", "OMP_NUM_THREADS": "1", BARE: "1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(
        [*launch, "--nproc-per-node=2", "-m", module],
        env=os.environ | own, cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    found = re.findall(r"([\d,]+) rows/s", done.stdout)
    if done.returncode or not found:
        raise SystemExit(done.stdout + done.stderr)
    return float(found[-1].replace(",", ""))


def bare() -> None:
    """One process of the bare loop: what a tutorial of DDP would write for this network."""
    import torch
    import torch.distributed as dist
    from torch import nn
    from torch.nn.parallel import DistributedDataParallel
    from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

    from components.common.networks import predict_tensors
    from components.train.networks import AVERAGING, LEARNING_RATE, WEIGHT_DECAY, batch_rows, table_model
    from components.train.parts import log_loss, read_parts
    from components.train_distributed.settings import JOB

    job = json.loads(os.environ[JOB])
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    rank, size = dist.get_rank(), dist.get_world_size()
    with read_parts(job["splits"]) as (_, parts):
        pass
    model = table_model(parts, job["learning"]["seed"])
    network = DistributedDataParallel(model.network, broadcast_buffers=False)
    rows = [model.tensors(part.rows.iloc[rank::size]) for part in (parts.train, parts.sample, parts.validation)]
    labels = [np.ascontiguousarray(part.labels[rank::size]) for part in (parts.train, parts.sample, parts.validation)]
    targets = torch.from_numpy(labels[0])
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True)
    average = AveragedModel(model.network, multi_avg_fn=get_ema_multi_avg_fn(AVERAGING))
    batch = batch_rows(len(parts.train.labels)) // size
    started = time.monotonic()
    for _ in range(job["learning"]["epochs"]):
        model.network.train()
        for places in torch.randperm(len(targets)).split(batch):
            optimizer.zero_grad(set_to_none=True)
            nn.functional.cross_entropy(network(*(part[places] for part in rows[0])), targets[places]).backward()
            optimizer.step()
            average.update_parameters(model.network)
        found = [log_loss(labels[n], predict_tensors(average.module, rows[n])) for n in (1, 2)]
        dist.all_reduce(torch.tensor(found))
    if rank == 0:
        total = job["learning"]["epochs"] * len(parts.train.labels)
        print(f"{total / (time.monotonic() - started):,.0f} rows/s", flush=True)
    dist.destroy_process_group()


def show(rates: dict[str, list[float]]) -> None:
    print("| rows a second | best | median | ratio of bests to the bare loop |")
    print("|---|---:|---:|---:|")
    base = max(rates["bare"])
    for kind, values in rates.items():
        print(f"| {kind} | {max(values):,.0f} | {statistics.median(values):,.0f} | {max(values) / base:.3f} |")
    pairs = [mine / other for mine, other in zip(rates["worker"], rates["bare"], strict=True)]
    interval = bootstrap((pairs,), np.median, rng=np.random.default_rng(2013)).confidence_interval
    print(f"ratios of the rounds: {' '.join(f'{ratio:.3f}' for ratio in pairs)}")
    print(f"median: {statistics.median(pairs):.3f} (95 %: {interval.low:.3f} to {interval.high:.3f})")


if __name__ == "__main__":
    bare() if BARE in os.environ else main()
