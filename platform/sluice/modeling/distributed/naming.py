"""A job's name, and its place in the store."""

import hashlib
import json

from sluice.modeling.distributed.job_settings import Learning


def job_key(run_id: str, name: str) -> str:
    """A job's place in the store: below its run's own, where no other run may write (docs/security.md).

    Args:
        run_id: The pipeline run's; empty where there is none.
        name: The job's.
    """
    return f"training/{run_id or 'local'}/{name}"


def job_name(run_id: str, source: str, learning: Learning) -> str:
    """A job's name, 25 characters: the same work in the same run has the same name, so a retry finds it.

    Args:
        run_id: The pipeline run's.
        source: The dataset's id.
        learning: What decides the numbers.
    """
    words = json.dumps([run_id, source, learning.parameters()], sort_keys=True)
    return f"sluice-train-{hashlib.sha256(words.encode()).hexdigest()[:12]}"
