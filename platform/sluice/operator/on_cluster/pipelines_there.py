"""Which version of a pipeline in KFP a run runs: the one that the Project put there, else the newest."""

import threading
import time
from typing import Any

from sluice.cluster.kfp_api import KfpApi
from sluice.core.errors import BadInput
from sluice.operator.on_cluster.resource_index import ResourceIndex
from sluice.operator.specs import ProjectSpec

_SECONDS = 30.0


class PipelinesThere:
    """Pipelines by name, each asked for once in a while."""

    def __init__(self, api: KfpApi, index: ResourceIndex) -> None:
        self._api, self._index = api, index
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, tuple[str, str]]] = {}

    def find(self, project: str, spec: ProjectSpec, pipeline: str | None) -> tuple[tuple[str, str], dict[str, Any]]:
        """The ids of a pipeline and of its version, and the parameters that the Project gives it.

        Args:
            project: The Project's name.
            spec: What it says.
            pipeline: Which of its pipelines; None for its first.

        Raises:
            BadInput: The Project has no such pipeline, or KFP has not.
            EnvironmentFault: KFP is away.
        """
        own = next((each for each in spec.pipelines if pipeline in (None, each.name)), None)
        if own is None:
            known = ", ".join(each.name for each in spec.pipelines)
            raise BadInput(f"Project {project} has no pipeline {pipeline}; it has {known}")
        return self._put_there(project, own.name) or self._newest(own.name), dict(own.parameters)

    def _put_there(self, project: str, name: str) -> tuple[str, str] | None:
        """As the Project's status has it, once it was put into KFP by the operator."""
        known = self._index.get("Project", project)
        for each in known.status.get("standing", ()) if known else ():
            if each.get("name") == name and each.get("id") and each.get("version"):
                return str(each["id"]), str(each["version"])
        return None

    def _newest(self, name: str) -> tuple[str, str]:
        with self._lock:
            when, ids = self._known.get(name, (0.0, ("", "")))
        if ids[0] and time.monotonic() - when < _SECONDS:
            return ids
        pipeline = self._api.pipeline(name)
        version = self._api.newest_version(pipeline) if pipeline else None
        if not pipeline or not version:
            raise BadInput(f"KFP has no pipeline {name}; put it there, or correct the Project's pipelines")
        with self._lock:
            self._known[name] = (time.monotonic(), (pipeline, version))
        return pipeline, version
