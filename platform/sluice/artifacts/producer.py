"""Who made a published folder: step and parameters, pipeline and run, code and environment."""

import functools
import hashlib
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sluice.artifacts.code_state import code_state
from sluice.artifacts.manifests import Producer
from sluice.core.json_documents import with_whole_numbers
from sluice.core.settings import settings
from sluice.core.variable_groups.run import RunVariables

PIPELINE, RUN = RunVariables.pipeline.name, RunVariables.run.name
COMMIT, CHANGES = RunVariables.commit.name, RunVariables.changes.name
ENVIRONMENT, IMAGE = RunVariables.environment.name, RunVariables.image.name


def producer(step_name: str, parameters: Mapping[str, Any]) -> Producer:
    """The record of what is running: step and parameters from the caller, the rest from the environment."""
    own = settings().run
    return Producer(
        step=step_name,
        parameters={name: with_whole_numbers(value) for name, value in parameters.items()},
        pipeline=own.pipeline,
        run=own.run,
        commit=code_commit(),
        changes=code_changes(),
        environment=code_environment(),
        image=own.image,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def code_commit() -> str:
    """SLUICE_COMMIT, else the git commit of the code that runs, `+dirty` when the packages' files differ from it.

    `unknown` outside a checkout.
    """
    return settings().run.commit or code_state().commit


def code_changes() -> str:
    """SHA-256 of what differs from `code_commit()`; empty where nothing does, or where an image holds the code.

    The store keeps it under `sluice.artifacts.code_state.changes_key`.
    """
    own = settings().run
    return own.changes if own.commit else code_state().digest


def code_environment() -> str:
    """SLUICE_ENVIRONMENT, else `environment_digest()`."""
    return settings().run.environment or environment_digest()


@functools.cache
def environment_digest() -> str:
    """SHA-256 over Python's version and every installed package with its version, sorted."""
    import importlib.metadata  # 40 ms that a step does not pay when its environment is told

    found = (each.metadata for each in importlib.metadata.distributions())  # read once: each use parses it anew
    packages = sorted({f"{each['Name']}=={each['Version']}".lower() for each in found})
    return hashlib.sha256("\n".join([sys.version, *packages]).encode()).hexdigest()
