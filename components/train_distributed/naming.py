"""A job's name, which is also its place in the store."""

import hashlib
import json
from dataclasses import asdict

from components.train_distributed.settings import Learning


def job_name(run_id: str, source: str, learning: Learning) -> str:
    """A job's name, 25 characters: the same work in the same run has the same name, so a retry finds it.

    Args:
        run_id: The pipeline run's.
        source: The dataset's id.
        learning: What decides the numbers.
    """
    words = json.dumps([run_id, source, asdict(learning)], sort_keys=True)
    return f"sluice-train-{hashlib.sha256(words.encode()).hexdigest()[:12]}"
