"""What a step costs beside its work: Sluice's step through KFP's local runner, KFP's bare step, an empty process.

Run it with `python tests/benchmarks/step_overhead.py`. Each round runs a pipeline of STEPS empty steps; the rounds of
the three alternate, so that a noisy machine disturbs all alike.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from kfp import dsl, local
from rich.console import Console

from sluice.running.run_progress import captured

STEPS, ROUNDS = 10, 7


@dsl.component(base_image="python", install_kfp_package=False)
def sluice_step(n: int) -> int:
    from sluice.core.progress import progress
    from sluice.steps.step import step

    with step("empty"):
        progress("nothing to do")
    return n


@dsl.component(base_image="python", install_kfp_package=False)
def bare_step(n: int) -> int:
    return n


def chain(component: Callable[..., dsl.PipelineTask]) -> Callable[..., object]:
    @dsl.pipeline(name="chain")
    def pipeline(n: int = 0) -> None:
        task = component(n=n)
        for _ in range(STEPS - 1):
            task = component(n=task.output)

    return pipeline


def kfp_seconds(pipeline: Callable[..., object], folder: Path) -> float:
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(folder))
    started = time.perf_counter()
    with captured(folder / "run.log", Console(quiet=True)):
        pipeline()
    return (time.perf_counter() - started) / STEPS


def process_seconds(_: object, __: Path) -> float:
    started = time.perf_counter()
    for _step in range(STEPS):
        subprocess.run([sys.executable, "-c", "pass"], check=True)
    return (time.perf_counter() - started) / STEPS


def main() -> None:
    contestants = {
        "Sluice step, KFP local runner": (kfp_seconds, chain(sluice_step)),
        "bare KFP step, same runner": (kfp_seconds, chain(bare_step)),
        "empty Python process": (process_seconds, None),
    }
    times: dict[str, list[float]] = {name: [] for name in contestants}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(ROUNDS):
            for name, (measure, pipeline) in contestants.items():
                times[name].append(measure(pipeline, Path(folder)))
    bare = min(times["bare KFP step, same runner"])
    print(f"| seconds a step ({STEPS} steps, {ROUNDS} rounds) | min | median | ratio of minima to bare KFP |")
    print("|---|---|---|---|")
    for name, values in times.items():
        print(f"| {name} | {min(values):.3f} | {statistics.median(values):.3f} | {min(values) / bare:.2f} |")


if __name__ == "__main__":
    main()
