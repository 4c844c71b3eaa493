"""How many processors this process may use: what its container is given, not what the machine has."""

import math
import os
from pathlib import Path

_V2 = Path("/sys/fs/cgroup/cpu.max")
_V1 = Path("/sys/fs/cgroup/cpu")


def usable_processors() -> int:
    """At least 1; the least of what the scheduler and the control group allow, a part of one counted as one.

    Source: https://docs.kernel.org/admin-guide/cgroup-v2.html (cpu.max), and cpu.cfs_quota_us of version 1.
    """
    scheduled = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    allowed = quota(_V2, _V1)
    return max(1, min(scheduled, math.ceil(allowed))) if allowed else max(1, scheduled)


def quota(v2: Path, v1: Path) -> float | None:
    """Processors that a control group grants; None where it sets no bound, or there is none."""
    try:
        granted, period = v2.read_text(encoding="ascii").split()
    except (OSError, ValueError):
        try:
            granted = (v1 / "cpu.cfs_quota_us").read_text(encoding="ascii").strip()
            period = (v1 / "cpu.cfs_period_us").read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            return None
    try:
        share = int(granted) / int(period)
    except (ValueError, ZeroDivisionError):  # `max`
        return None
    return share if share > 0 else None
