"""A run taken up again: its pipeline as it is today, with the parameters that the run recorded."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sluice.running import catalog, project_runs
from sluice.running.arguments import parse_arguments
from sluice.running.run_records import Asked


@dataclass(frozen=True)
class TakenUp:
    """A run that can begin.

    Attributes:
        pipeline: The earlier run's, as it is today.
        arguments: Its arguments, with those that are changed.
        given: What of them a person gave.
        project: The project's order, whose code and data must be published first; None outside of one.
    """

    pipeline: catalog.Pipeline
    arguments: dict[str, Any]
    given: Mapping[str, Any]
    project: project_runs.ProjectOrder | None = None


def take_up(before: Asked, pairs: Sequence[str], *, in_store: bool = False) -> TakenUp:
    """What a run would be today. A project's declaration and code are read anew: they are what a fix changes.

    Args:
        before: What the run was asked for.
        pairs: `key=value` words that change it.
        in_store: Whether a project's data must be copied to a store, as for a cluster.

    Raises:
        BadInput: The pipeline or the project is gone, or lacks a parameter that was given; a change is wrong.
    """
    names = {pair.partition("=")[0] for pair in pairs}
    if before.project:
        if held := [name for name in before.withheld if name in before.given and name not in names]:
            before.known(held)  # which says that it must be given again
        again = [f"{name}={_text(value)}" for name, value in before.given.items() if name not in names]
        order = project_runs.order(project_runs.here(Path(before.project)), [*again, *pairs], in_store=in_store)
        return TakenUp(order.pipeline, order.arguments, order.given, order)
    chosen = catalog.find_pipeline(before.reference)
    kept = [name for name in before.withheld if name not in names]
    known = before.model_copy(update={"withheld": kept}).known(parameter.name for parameter in chosen.parameters)
    changed = parse_arguments(chosen, pairs, typed(chosen, known))
    return TakenUp(
        chosen, changed, {name: value for name, value in changed.items() if name in before.given or name in names}
    )


def _text(value: Any) -> str:  # noqa: ANN401 - JSON
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def typed(pipeline: catalog.Pipeline, values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as the pipeline declares them: KFP's JSON has 7.0 for the integer 7, and 60 for 60.0."""
    numbers = {"Integer": int, "Float": float}
    kinds = {parameter.name: numbers.get(parameter.type) for parameter in pipeline.parameters}
    return {
        name: kind(value) if (kind := kinds.get(name)) and isinstance(value, int | float) else value
        for name, value in values.items()
    }
