"""Running a piece of code in a process of its own whose memory is limited and measured."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_LIMIT = 6 << 30  # of address space: what lies beyond a bound must not take the machine down
_PROGRAM = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, ({limit}, {limit}))
{setup}
from sluice.core.errors import SluiceError
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
{body}
    print("done")
except SluiceError as error:
    print(f"{{type(error).__name__}}: {{error}}")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@dataclass(frozen=True)
class Outcome:
    """What became of the code.

    Attributes:
        said: `done`, or the refusal's kind and line.
        mib: By how much memory grew at its peak, in MiB.
    """

    said: str
    mib: float


def run_bounded(setup: str, body: str, seconds: float = 300, **variables: str) -> Outcome:
    """Run code under a limit of memory.

    Args:
        setup: Imports, whose memory does not count.
        body: The code.
        seconds: After these the test fails.
        variables: Of the environment.
    """
    indented = "\n".join(f"    {line}" for line in body.splitlines())
    program = _PROGRAM.format(limit=_LIMIT, setup=setup, body=indented)
    path = os.pathsep.join([str(ROOT), str(ROOT / "platform")])
    words = [sys.executable, "-c", program]
    environment = os.environ | {"PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1", **variables}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=seconds, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    said, grown = done.stdout.strip().splitlines()[-2:]
    return Outcome(said, int(grown) / 1024)
