"""A step of a project's own, in two lines: its component calls this, and the work stands in the project's code.

KFP writes the source of a component's function into the pipeline and nothing else of its file. So the component only
says where the work is:

    from kfp import dsl
    from sluice.core.step_images import TABULAR_IMAGE

    @dsl.component(base_image=TABULAR_IMAGE, install_kfp_package=False)
    def count(splits: str, code: str) -> int:
        from sluice.steps.own_step import call

        return call(code, "steps.py:count_rows", splits=splits)

An installed package's function is called by the name of its entry point (`sluice.extending.step_functions`), where the
package is there: `call(code, "count-rows", splits=splits)`.

The pipeline has a parameter `code`, which `sluice run` and `sluice submit` give in a project's folder; the file that is
named, and what it imports, go along. It is another than the pipeline's: in a step KFP has no `@dsl.pipeline`. The
function runs on a laptop and in a pod alike. `sluice.storage.locations.default_store()` and
`sluice.engine.datasets.read_dataset` reach the store that Sluice's steps use, and an error ends the step with one line
and exit code 2.
"""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from sluice.core.errors import BadInput
from sluice.core.extensions import is_reference
from sluice.extending.step_functions import STEP_FUNCTIONS
from sluice.project.code import ProjectCode, open_code
from sluice.steps.step import step

Called = tuple[Callable[..., Any], AbstractContextManager[None]]
"""A function, and a context that turns what it raises into one line."""


def call(code: str, reference: str, /, **given: Any) -> Any:  # noqa: ANN401 - what the user's function takes and gives
    """Call a function of a project's code as a step; see above.

    Args:
        code: The address of the project's code, `code/<sha256>.zip`; empty where a package's function needs none.
        reference: `file.py:function` in it, or the name of an installed package's function.
        given: What the function is called with, by name. Of an artifact of KFP's hand over the path.

    Returns:
        What the function returned, if a parameter of KFP's can hold it: a text, a number, a truth, a list or a mapping
        of them; None for a step that returns nothing.

    Raises:
        SystemExit: 2 where the code is missing, wrong, or raised an error, which stands in the step's log in one line
            with file and line; 1 where the store failed.
    """
    with step(reference.rpartition(":")[2] or reference, given):
        opened = open_code(code) if code else None
        function, blamed = _of_package(reference) if not is_reference(reference) else _of_project(reference, opened)
        with blamed:
            found = function(**given)
        _check_parameter(reference, found)
    return found


def _of_project(reference: str, code: ProjectCode | None) -> Called:
    if code is None:
        raise BadInput(
            f"step {reference}: it has no code; give the pipeline a parameter `code: str = ''` that it hands to the "
            "step, and run it as the pipeline of a project"
        )
    function = code.load(reference)
    if not callable(function):
        raise BadInput(f"step {reference} ({code.place_of(function) or 'its code'}) is no function")
    return function, code.blamed(f"step {reference}", log=True)


def _of_package(name: str) -> Called:
    found = STEP_FUNCTIONS.opened(name)
    if not callable(found.thing):
        raise BadInput(f"{found.what} is no function")
    return found.thing, found.blamed()


def _check_parameter(reference: str, value: object) -> None:
    """Refuse what KFP would fail to write, with a traceback of its own."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise BadInput(
            f"step {reference}: it returned {type(value).__name__}, which no parameter holds ({error}); return a text, "
            "a finite number, a list or a dict of them, and write other things into an artifact or the store"
        ) from None
