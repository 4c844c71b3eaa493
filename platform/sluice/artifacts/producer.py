"""Who made a published folder: step and parameters, pipeline and run, code and environment."""

import functools
import hashlib
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sluice.artifacts.code_state import code_state
from sluice.artifacts.manifests import Producer
from sluice.core.environment import variable
from sluice.core.json_documents import with_whole_numbers

PIPELINE = "SLUICE_PIPELINE"
RUN = "SLUICE_RUN"
COMMIT = "SLUICE_COMMIT"
CHANGES = "SLUICE_CHANGES"
ENVIRONMENT = "SLUICE_ENVIRONMENT"
IMAGE = "SLUICE_IMAGE"


def producer(step_name: str, parameters: Mapping[str, Any]) -> Producer:
    """The record of what is running: step and parameters from the caller, the rest from the environment."""
    return Producer(
        step=step_name,
        parameters={name: with_whole_numbers(value) for name, value in parameters.items()},
        pipeline=variable(PIPELINE),
        run=variable(RUN),
        commit=code_commit(),
        changes=code_changes(),
        environment=variable(ENVIRONMENT) or environment_digest(),
        image=variable(IMAGE),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def code_commit() -> str:
    """SLUICE_COMMIT, else the git commit of the code that runs, `+dirty` when the packages' files differ from it.

    `unknown` outside a checkout.
    """
    return variable(COMMIT) or code_state().commit


def code_changes() -> str:
    """SHA-256 of what differs from `code_commit()`; empty where nothing does, or where an image holds the code.

    The store keeps it under `sluice.artifacts.code_state.changes_key`.
    """
    return variable(CHANGES) if variable(COMMIT) else code_state().digest


@functools.cache
def environment_digest() -> str:
    """SHA-256 over Python's version and every installed package with its version, sorted."""
    import importlib.metadata  # 40 ms that a step does not pay when its environment is told

    packages = sorted({f"{d.name}=={d.version}".lower() for d in importlib.metadata.distributions()})
    return hashlib.sha256("\n".join([sys.version, *packages]).encode()).hexdigest()
