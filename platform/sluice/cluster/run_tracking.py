"""What MLflow is told of a run on a cluster by the command that starts, follows or cancels it.

The steps tell most. They cannot know the name that a person gave the run, nor its parameters; and a step that runs out
of memory, or is ended by KFP faster than it can speak, tells nothing: its MLflow run would seem to run for ever. Where
KFP's MLflow plugin is on, KFP opens and ends that run itself; here the rest is done. All of it as far as it can be
done: no run fails, and no command waits long, because MLflow is away.
"""

import logging
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

from sluice.artifacts.producer import PIPELINE, RUN
from sluice.cluster.connection import TRACKING, Cluster, connected
from sluice.cluster.kfp_api import KfpApi
from sluice.core.environment import changed_variables
from sluice.core.errors import SluiceError
from sluice.core.settings import settings
from sluice.core.variable_groups.tracking import TrackingVariables
from sluice.registry.mlflow_access import URI, mlflow_module
from sluice.registry.pipeline_runs import PARENT_TAG, RUN_TAG, close_run, find, find_or_open, log_parameters
from sluice.running.catalog import Pipeline

_STATUS = {"FAILED": "FAILED", "CANCELED": "KILLED", "CANCELING": "KILLED"}
_IMPATIENT = {TrackingVariables.retries.name: "0", TrackingVariables.timeout.name: "5"}
_MOST_RUNS = 20  # that one command asks KFP about


def announce(cluster: Cluster, pipeline: Pipeline, run: str, name: str, arguments: Mapping[str, Any]) -> None:
    """Open a new run's MLflow run under the name that people know, with its parameters; the steps will find it there.

    Runs of the same pipeline that have ended meanwhile, and that nobody followed to their end, are ended in MLflow too.

    Args:
        cluster: Where the run is.
        pipeline: Which pipeline it runs.
        run: KFP's id of it.
        name: Its name in KFP.
        arguments: The parameters that were given; the others have their defaults.
    """
    values = {parameter.name: parameter.default for parameter in pipeline.parameters} | dict(arguments)

    def tell(mlflow: Any) -> None:  # noqa: ANN401 - MLflow, imported late
        client, opened = mlflow.MlflowClient(), find_or_open(mlflow, name)
        if client.get_run(opened).info.run_name != name:  # its first step was quicker, and knows no name of KFP's
            client.update_run(opened, name=name)
        log_parameters(client, opened, values)
        _settle_others(KfpApi(cluster.kfp), client, client.get_run(opened).info.experiment_id, run)

    _reach(cluster, tell, {RUN: run, PIPELINE: pipeline.name})


def settle(cluster: Cluster, run: str, reason: str) -> None:
    """End a run's MLflow run as KFP says that the run ended, where it still seems to run.

    Args:
        cluster: Where the run is.
        run: KFP's id of it.
        reason: Why it ended, for the tag `sluice.error`.
    """

    def tell(mlflow: Any) -> None:  # noqa: ANN401 - MLflow, imported late
        status = _STATUS.get(KfpApi(cluster.kfp).run(run).state)
        opened = find(mlflow.MlflowClient(), run) if status else None
        if opened:
            _close(mlflow.MlflowClient(), opened, str(status), reason)

    _reach(cluster, tell)


def _settle_others(api: KfpApi, client: Any, experiment: str, mine: str) -> None:  # noqa: ANN401 - MLflow's client
    running = client.search_runs([experiment], "attributes.status = 'RUNNING'")
    for entry in [e for e in running if PARENT_TAG not in e.data.tags][:_MOST_RUNS]:
        run = entry.data.tags.get(RUN_TAG, "")
        try:
            found = api.run(run) if run and run != mine else None
        except SluiceError:  # of another cluster, or of a laptop
            continue
        if found and found.state in _STATUS:
            _close(client, entry.info.run_id, _STATUS[found.state], found.error or f"run {found.state.lower()}")


def _close(client: Any, opened: str, status: str, reason: str) -> None:  # noqa: ANN401 - MLflow's client
    run = client.get_run(opened)
    close_run(client, opened, status, "" if "sluice.error" in run.data.tags else reason)


def _reach(cluster: Cluster, tell: Callable[[Any], None], variables: Mapping[str, str] | None = None) -> None:
    """Tell the cluster's MLflow something; what fails in that is passed over."""
    try:
        with ExitStack() as stack:
            if cluster.kubernetes and URI not in cluster.variables:
                cluster = stack.enter_context(connected(cluster.kubernetes.target, (TRACKING,), kfp=False))
            stack.enter_context(changed_variables({**cluster.variables, **_IMPATIENT, **(variables or {})}))
            if settings().tracking.uri:
                tell(mlflow_module())
    except Exception:  # whatever it is, the run matters more than what is told of it
        logging.getLogger(__name__).debug("MLflow could not be told of the run", exc_info=True)
