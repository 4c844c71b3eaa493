"""`sluice submit`: a pipeline as a KFP run, followed to its end, its result and report fetched from the store."""

import copy
import os
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from sluice.artifacts.run_results import REPORT, RESULT, read_result, results_key
from sluice.cluster import run_tracking
from sluice.cluster.connection import OBJECT_STORE, Cluster
from sluice.cluster.following import Follower
from sluice.cluster.kfp_api import KfpApi
from sluice.cluster.resources import StepResources
from sluice.cluster.site_rules import SiteRules
from sluice.cluster.spec import ClusterSpec, compile_for_cluster
from sluice.cluster.waiting import wait_for
from sluice.cluster.workflow_steps import task_order
from sluice.core.environment import changed_variables
from sluice.core.errors import EnvironmentFault, SluiceError
from sluice.core.home import home
from sluice.core.variable_groups.cluster import ClusterVariables
from sluice.running.catalog import Pipeline
from sluice.running.local_run import RunResult
from sluice.running.run_records import SubmittedRecord, asked_for, find_submitted, keep_submitted
from sluice.storage.locations import default_store
from sluice.storage.stores import Store, plain_address

FETCH_SECONDS = 300.0


@dataclass(frozen=True)
class Order:
    """What to run and how.

    Attributes:
        pipeline: Which.
        arguments: By parameter name; defaults stand for the rest.
        fused: All steps in one pod.
        fresh: Reuse no earlier result.
        name: The run's display name; empty for one of time and pipeline.
        experiment: KFP's experiment; empty for one named after the pipeline.
        given: What the person gave, where the arguments were made of more, as for a project; None for the arguments.
        project: The folder of the project that it is run for; empty outside of one.
        resumes: The id of the run that it takes up again; empty for none.
        resources: What the project and the command line ask for, by step.
        step_images: The images that the project names for its steps, by step.
    """

    pipeline: Pipeline
    arguments: Mapping[str, Any]
    fused: bool = False
    fresh: bool = False
    name: str = ""
    experiment: str = ""
    given: Mapping[str, Any] | None = None
    project: str = ""
    resumes: str = ""
    resources: Mapping[str, StepResources] = field(default_factory=dict)
    step_images: Mapping[str, str] = field(default_factory=dict)


def start(cluster: Cluster, order: Order) -> str:
    """Start a run; its id. A pipeline that stands in KFP in this very version is referred to, any other is sent along.

    Raises:
        BadInput: KFP refuses it, or the site does not let it run: its code, or the resources that it asks for.
        EnvironmentFault: KFP does not answer.
    """
    rules = SiteRules.of(ClusterVariables(cluster.variables))
    rules.check_code(order.arguments, own_pipeline=not order.pipeline.is_sluices)
    api = KfpApi(cluster.kfp)
    plan = rules.plan(order.resources)
    choices = api.takes_choices()
    spec = compile_for_cluster(
        order.pipeline,
        cluster.images,
        choices=choices,
        fused=order.fused,
        resources=plan,
        step_images=order.step_images,
    )
    name = order.name or f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{spec.name}-{os.urandom(2).hex()}"
    experiment = api.experiment(order.experiment or order.pipeline.name)
    uploaded = None if order.fresh else _uploaded(api, spec)
    run = api.create_run(name, experiment, uploaded or documents(spec, fresh=order.fresh), order.arguments)
    _keep(cluster, order, run, name)
    run_tracking.announce(cluster, order.pipeline, run, name, order.arguments)
    return run


def _keep(cluster: Cluster, order: Order, run: str, name: str) -> None:
    """Leave word on this machine of what was asked for."""
    given = order.arguments if order.given is None else order.given
    asked = asked_for(
        order.pipeline, order.arguments, given, run=run, name=name, project=order.project, resumes=order.resumes
    )
    with suppress(SluiceError, OSError):  # the run has begun, and can be followed without
        keep_submitted(SubmittedRecord(**asked, place=cluster.place, fused=order.fused))


def finish(
    cluster: Cluster, pipeline: Pipeline, run: str, console: Console, *, fused: bool, quiet: bool, seconds: float
) -> RunResult:
    """Follow a run to its end, then fetch what it left in the store.

    Args:
        cluster: Where it is.
        pipeline: Which it is.
        run: Its id.
        console: Where progress goes.
        fused: It has all steps in one pod.
        quiet: Show no progress.
        seconds: The longest to wait.

    Raises:
        BadInput: A step refused its input, in its own words.
        EnvironmentFault: A service or the cluster failed.
    """
    began = datetime.now(UTC)
    spec = compile_for_cluster(pipeline, cluster.images, fused=fused)
    follower = Follower(cluster, run, task_order(spec.pipeline), console, quiet=quiet)
    try:
        follower.to_the_end(seconds)
    except SluiceError as error:
        run_tracking.settle(cluster, run, str(error))
        raise
    try:
        with redirect_stdout(sys.stderr):  # where progress goes, standard output may be JSON
            result, report, place = wait_for(
                "the object store", FETCH_SECONDS, lambda: _fetch(cluster, run, must=pipeline.is_sluices)
            )
    except EnvironmentFault as error:
        words = f"sluice follow {run} {pipeline.reference}{' --fused' if fused else ''}"
        raise EnvironmentFault(f"run {run} succeeded, and its result cannot be fetched: {error}; `{words}`") from None
    taken = (datetime.now(UTC) - began).total_seconds()
    asked = find_submitted(run)
    return RunResult(
        run,
        result,
        report,
        None,
        taken,
        follower.times,
        place,
        reference=pipeline.reference,
        given=asked.given if asked else {},
        parameters=asked.parameters if asked else {},
        project=asked.project if asked else "",
    )


def documents(spec: ClusterSpec, *, fresh: bool) -> dict[str, Any]:
    """Both specs as a run carries them; a fresh one asks the cache for nothing."""
    both = copy.deepcopy(spec.documents())
    if fresh:
        for task in both["pipeline_spec"]["root"]["dag"]["tasks"].values():
            task["cachingOptions"] = {}
    return both


def _uploaded(api: KfpApi, spec: ClusterSpec) -> tuple[str, str] | None:
    pipeline = api.pipeline(spec.name)
    version = api.versions(pipeline).get(spec.version) if pipeline else None
    return (pipeline, version) if pipeline and version else None


def _fetch(cluster: Cluster, run: str, *, must: bool) -> tuple[dict[str, Any], Path | None, str]:
    """A run's result, its report as a file of this machine, and the report's address.

    Args:
        cluster: Where it is.
        run: Its id.
        must: Whether there must be both; a user's own pipeline may leave neither.
    """
    cluster.mend(OBJECT_STORE)
    with changed_variables(cluster.variables):
        store = default_store()
        place = plain_address(f"{store.uri}/{results_key(run, REPORT)}")
        result = read_result(store, run) if must or store.exists(results_key(run, RESULT)) else {}
        if must or store.exists(results_key(run, REPORT)):
            return result, _fetch_report(store, run), place
        return result, None, plain_address(store.uri)


def _fetch_report(store: Store, run: str) -> Path:
    target = home() / "reports" / f"{run}.html"
    target.parent.mkdir(parents=True, exist_ok=True)
    store.get_file(results_key(run, REPORT), target)
    return target
