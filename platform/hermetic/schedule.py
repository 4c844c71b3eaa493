"""Run steps, two at a time, each after those that it needs, with one line of progress per step."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from graphlib import TopologicalSorter

WORKERS = max(3, os.cpu_count() or 3)  # beside one that compiles there is one that downloads, and one that links


@dataclass(frozen=True)
class Step:
    """One thing to make: its name, what to show of its version, how to make it, and which steps come first."""

    name: str
    detail: str
    make: Callable[[], object]
    after: list[str] = field(default_factory=list)


def in_order(steps: Sequence[Step]) -> None:
    """Run all steps. When one fails, those that are running end first; then its exception is raised.

    Raises:
        Fault: whatever the first step that failed raised.
    """
    by_name = {step.name: step for step in steps}
    order = TopologicalSorter({step.name: [name for name in step.after if name in by_name] for step in steps})
    order.prepare()
    running: dict[Future[float], str] = {}
    done = 0
    with ThreadPoolExecutor(WORKERS) as pool:
        while order.is_active():
            for name in order.get_ready():
                running[pool.submit(_timed, by_name[name])] = name
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                step = by_name[running.pop(future)]
                if error := future.exception():
                    pool.shutdown(cancel_futures=True)
                    raise error
                done += 1
                print(f"[{done:2}/{len(steps)}] {step.name} {step.detail} ... {future.result():.0f} s", flush=True)
                order.done(step.name)


def _timed(step: Step) -> float:
    start = time.monotonic()
    step.make()
    return time.monotonic() - start
