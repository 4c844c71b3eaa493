"""The parameter `task` of a step: what a project declares of its rows and label."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from sluice.core.errors import BadInput
from sluice.project.declaration import TaskDeclaration


def checked_task(name: str, task: Any) -> TaskDeclaration:  # noqa: ANN401 - JSON
    """What a project declares of its rows, label and features.

    Args:
        name: The parameter's, for messages.
        task: As it was given: `Project.task_body()`.

    Raises:
        BadInput: It is empty, or no such declaration.
    """
    if not isinstance(task, Mapping) or not task:
        raise BadInput(
            f"parameter {name!r} is empty, so there is no question; type `sluice run` in the folder of a project "
            "(`sluice init` makes one), or give what its file declares as JSON"
        )
    try:
        return TaskDeclaration.model_validate(dict(task))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise BadInput(f"parameter {name!r}{place and f', {place}'}: {first['msg']}") from None
