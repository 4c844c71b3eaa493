"""How long `sluice monitor` takes on many rows, and how much memory: time and peak of the whole process, peers beside.

    python -m tests.benchmarks.watching make FOLDER [ROWS]      # reference.parquet (500,000 rows) and now.parquet
    python -m tests.benchmarks.watching sluice FOLDER           # the command, in a process of its own
    PYTHON-WITH-EVIDENTLY -m tests.benchmarks.watching evidently FOLDER [ROWS]   # its DataDriftPreset, in memory

50 columns: 40 numbers, 8 texts, two probabilities; the label only in the reference. Values are few, so that 10 million
rows take less than a gigabyte.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

REFERENCE_ROWS = 500_000
_NUMBERS, _TEXTS, _BATCH = 40, 8, 100_000


def batches(rows: int, seed: int, *, labelled: bool) -> Iterator[pa.RecordBatch]:
    """Rows in batches: a score of five numbers decides the probability, and the label where there is one."""
    random = np.random.default_rng(seed)
    for begin in range(0, rows, _BATCH):
        count = min(_BATCH, rows - begin)
        numbers = {f"n{n:02}": random.integers(0, 200, count).astype(np.float64) / 8 for n in range(_NUMBERS)}
        texts = {
            f"t{n}": pa.DictionaryArray.from_arrays(
                random.integers(0, 12, count).astype(np.int8), [f"value {k}" for k in range(12)]
            ).cast(pa.string())
            for n in range(_TEXTS)
        }
        score = sum((numbers[f"n{n:02}"] - 12.5) / 12 for n in range(5))
        share = np.round(1 / (1 + np.exp(-np.asarray(score))), 3)
        columns = {**numbers, **texts, "probability_no": np.round(1 - share, 3), "probability_yes": share}
        if labelled:
            columns["late"] = np.where(random.random(count) < share, "yes", "no")
        yield pa.RecordBatch.from_pydict(columns)


def make(folder: Path, rows: int) -> None:
    """Write both files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, count, seed, labelled in (("reference", REFERENCE_ROWS, 1, True), ("now", rows, 2, False)):
        writer: pq.ParquetWriter | None = None
        for batch in batches(count, seed, labelled=labelled):
            writer = writer or pq.ParquetWriter(folder / f"{name}.parquet", batch.schema, compression="zstd")
            writer.write_batch(batch)
        if writer:
            writer.close()


def watch(folder: Path) -> None:
    """The command as a person types it."""
    words = ["monitor", str(folder / "reference.parquet"), str(folder / "now.parquet"), "--label", "late"]
    measured([sys.executable, "-m", "sluice", *words, "--page", str(folder / "page.html")], folder)


def evidently(folder: Path, rows: int) -> None:
    """Evidently's preset on the first rows; it takes pandas' frames, so all of them are in memory."""
    code = (
        "import sys, pandas as pd, pyarrow.parquet as pq\n"
        "from evidently import Report\nfrom evidently.presets import DataDriftPreset\n"
        "folder, rows = sys.argv[1], int(sys.argv[2])\n"
        "def read(name, most):\n"
        "    file, found, left = pq.ParquetFile(f'{folder}/{name}.parquet'), [], most\n"
        "    for batch in file.iter_batches(100_000):\n"
        "        if left <= 0: break\n"
        "        found.append(batch.slice(0, left).to_pandas()); left -= len(found[-1])\n"
        "    return pd.concat(found, ignore_index=True)\n"
        "now, before = read('now', rows), read('reference', 500_000).drop(columns='late')\n"
        "Report([DataDriftPreset()]).run(now, before).save_html(f'{folder}/evidently.html')\n"
    )
    measured([sys.executable, "-c", code, str(folder), str(rows)], folder)


def measured(command: list[str], folder: Path) -> None:
    """Run a command; print its seconds, its processor's seconds, its peak of memory and the load before it."""
    load, begin = os.getloadavg()[0], time.monotonic()
    with (folder / "said.txt").open("w") as said:
        code = subprocess.run(command, stdout=said, stderr=subprocess.STDOUT, check=False).returncode
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    told = {
        "exit": code,
        "seconds": round(time.monotonic() - begin, 1),
        "processor_seconds": round(used.ru_utime + used.ru_stime, 1),
        "peak_mib": round(used.ru_maxrss / 1024),
        "load_before": round(load, 1),
    }
    print(json.dumps(told))


if __name__ == "__main__":
    what, place, number = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 1_000_000
    {
        "make": lambda: make(place, number),
        "sluice": lambda: watch(place),
        "evidently": lambda: evidently(place, number),
    }[what]()
