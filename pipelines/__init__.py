"""Sluice's pipelines: one file is one pipeline.

A file may say beside its pipeline, in `CHOICES`, which values a parameter accepts: the command refuses others, and the
form of KFP's UI offers these. KFP keeps no `Literal` annotation, so it cannot stand in the signature.
"""

import pkgutil
from typing import Any

from sluice.core.extensions import Registry


def pipeline_names() -> list[str]:
    """The names of this installation's pipelines, sorted; nothing is imported."""
    names = (module.name for module in pkgutil.iter_modules(__path__))
    return sorted(name for name in names if not name.startswith("_"))


PIPELINES: Registry[Any] = Registry(
    "pipelines", object, {name: f"{__name__}.{name}:{name}" for name in pipeline_names()}, title="pipeline"
)
"""Sluice's, and those of installed packages: KFP's objects, which a function under @dsl.pipeline is."""

TABLES, IMAGES = ("supervised", "supervised_distributed"), ("supervised_images",)
"""Those that read tables by a data contract, and those that read a folder of images."""
