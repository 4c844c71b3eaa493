"""A fixed number of threads and torch's reproducible operations, for the time of the training.

Sums in another order differ in their last digits, and a model's digest with them. One thread gives the same numbers on
machines with few and with many cores; for small networks it is also faster, for threads that wait for each other spin.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def fixed_threads(count: int) -> Iterator[None]:
    """Hold BLAS, OpenMP and (where it is imported) torch to `count` threads, and torch to reproducible operations."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with threadpool_limits(limits=count), _fixed_torch(count):
        yield


@contextmanager
def _fixed_torch(count: int) -> Iterator[None]:
    if "torch" not in sys.modules:
        yield
        return
    import torch

    threads, mode = torch.get_num_threads(), torch.get_deterministic_debug_mode()
    gradients = torch.is_grad_enabled()
    torch.set_num_threads(count)
    torch.set_deterministic_debug_mode("error")  # as use_deterministic_algorithms, without importing torch's compiler
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        torch.set_grad_enabled(gradients)  # a candidate that is broken off may be inside torch.no_grad
        torch.set_num_threads(threads)
        torch.set_deterministic_debug_mode(mode)
