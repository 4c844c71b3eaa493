"""Pipelines that an installed package brings, by an entry point of the group `sluice.pipelines`.

    [project.entry-points."sluice.pipelines"]                # in the package's pyproject.toml
    counting = "acme_flows.counting:counting"

It is KFP's object, a function under @dsl.pipeline. As in a file of the user's own, `CHOICES` beside it says which
values a parameter accepts, and what is printed while it is imported goes to standard error.
"""

import re
import sys
import warnings
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from typing import Any

from sluice.core.errors import BadInput
from sluice.pipelines import PIPELINES
from sluice.running.own_pipelines import CHOICES, WAY_OUT

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,59}", re.ASCII)


@dataclass(frozen=True)
class PackagePipeline:
    """A pipeline of a package's.

    Attributes:
        component: KFP's own object.
        package: Who brings it: `the package acme 1.5`.
        choices: What its module offers as CHOICES for its parameters.
    """

    component: Any
    package: str
    choices: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)


def load(name: str) -> PackagePipeline:
    """Import a package's pipeline.

    Args:
        name: Of its entry point.

    Raises:
        BadInput: It cannot be imported or is no pipeline, its name could not name a run, or two packages bring it.
    """
    from kfp.dsl.base_component import BaseComponent

    with redirect_stdout(sys.stderr), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The default base_image", category=FutureWarning)
        found = PIPELINES.opened(name)
    if not isinstance(found.thing, BaseComponent):
        raise found.gave(found.thing, WAY_OUT)
    if not _NAME.fullmatch(name):
        raise BadInput(f"{found.what}: its name must be letters, digits, '_' and '-', at most 60, the first a letter")
    module = sys.modules.get(_module(found.thing))
    return PackagePipeline(found.thing, PIPELINES.origin(name), dict(getattr(module, CHOICES, {})))


def functions(component: Any) -> dict[str, Any]:  # noqa: ANN401 - KFP's
    """The Python functions behind the components that a pipeline's module knows, by their names."""
    known = [
        getattr(value, "python_func", None) for value in vars(sys.modules.get(_module(component), object)).values()
    ]
    return {str(function.__name__): function for function in known if callable(function)}


def _module(component: Any) -> str:  # noqa: ANN401 - as above
    """The module that a pipeline stands in; empty for one that was compiled."""
    return str(getattr(getattr(component, "pipeline_func", None), "__module__", ""))
