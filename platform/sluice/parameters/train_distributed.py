"""What a person may set about the step."""

import re
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field

from sluice.core.errors import BadInput
from sluice.core.parameter_checks import SEED, Check, Range, StepParameters
from sluice.parameters.candidate_settings import TableNetworkSettings, read_entries
from sluice.parameters.train import check_candidates
from sluice.problems.candidate_names import CONVOLUTIONS, EMBEDDINGS, NETWORK

_NETWORKS = (NETWORK, EMBEDDINGS, CONVOLUTIONS)
_RUNTIME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def check_runtime(name: str, runtime: str) -> None:
    """See that a TrainingRuntime can have this name.

    Args:
        name: The parameter's, for messages.
        runtime: As it was given.

    Raises:
        BadInput: It cannot.
    """
    if not _RUNTIME.fullmatch(str(runtime)):
        raise BadInput(f"parameter {name!r} is {runtime!r}, which no TrainingRuntime can be called; use e.g. torch-cpu")


def check_network(name: str, candidates: Sequence[Any]) -> None:
    """See that a list of candidates is the network alone, with settings that a network has.

    Args:
        name: The parameter's, for messages.
        candidates: As they were given; none stands for the network as it is.

    Raises:
        BadInput: Another candidate is named, or a setting is unknown or out of its range.
    """
    if not isinstance(candidates, list | tuple):
        return  # its type is looked at by whoever asked
    check_candidates(name, candidates)
    named = [each.name for each in read_entries(candidates, name)]
    for number, each in enumerate(named):
        if each not in _NETWORKS or number:
            raise BadInput(
                f"parameter {name!r} names {each!r}, and several workers train one network and the baselines; write "
                "{network: {…}} alone, or run the pipeline supervised"
            )


class Parameters(StepParameters):
    """How the network is trained, and where; no epochs or rows stand for the network's own choice."""

    candidates: Annotated[list[Any], check_network] = Field(
        default=[], description="The network with its settings, [{network: {dropout: 0.1}}]; empty for its defaults."
    )
    workers: Annotated[int, Range(1, 1024, whole=True)] = Field(
        default=2, description="How many workers train, each on a node of its own where there are enough."
    )
    runtime: Annotated[str, check_runtime] = Field(
        default="torch-cpu",
        description="The TrainingRuntime they run in, or local; without a cluster they are processes of this machine.",
    )
    epochs: Annotated[int, Range(0, whole=True)] = Field(
        default=0, description="Most passes over the training rows; 0 goes on until nothing gets better."
    )
    patience: Annotated[int, Range(1, whole=True)] = Field(
        default=3, description="Epochs without a better validation log loss after which training stops."
    )
    batch_rows: Annotated[int, Range(0, whole=True)] = Field(
        default=0, description="Rows of one step over all workers together; 0 chooses about 64 steps an epoch."
    )
    learning_rate: Annotated[float, Range(0, above=True)] = Field(
        default=TableNetworkSettings().learning_rate, description="Of AdamW."
    )
    seed: Annotated[int, SEED] = Field(
        default=2013,
        description="Decides everything random; the same seed, data and number of workers give the same model.",
    )
    checkpoint_seconds: Annotated[float, Range(0)] = Field(
        default=10.0, description="About so much work is lost at most when a worker is; 0 saves after each step."
    )
    max_restarts: Annotated[int, Range(0, whole=True)] = Field(
        default=2, description="How often the workers may fail, and go on from the last checkpoint."
    )
    start_seconds: Annotated[int, Range(1, whole=True)] = Field(
        default=600, description="Within these all workers must run, image pulls included."
    )
    timeout_seconds: Annotated[int, Range(1, whole=True)] = Field(
        default=3600, description="Within these the training must end."
    )


DEFAULTS = Parameters()
CHECKS: dict[str, Check] = Parameters.checks()
"""By parameter."""
