"""A cluster's run taken up again: submitted once more with its parameters, where KFP reuses what did not change.

KFP's own retry runs the failed pods as they were, so it helps after a fault and not after a fix: code and images are
those of the first try. A new run has today's, and KFP's cache knows by its key which steps are still the same.
"""

from collections.abc import Sequence

from sluice.cli.cluster_commands import begin, hand_over
from sluice.cluster.access import Target
from sluice.cluster.connection import connected
from sluice.cluster.fusing import SUFFIX
from sluice.cluster.kfp_api import KfpApi
from sluice.cluster.resources import images_of, of_project
from sluice.cluster.submit import Order
from sluice.running.resuming import take_up
from sluice.running.run_records import Asked, SubmittedRecord, find_submitted


def resume_on_cluster(
    run: str, pairs: Sequence[str], target: Target, *, fresh: bool, wait: bool, as_json: bool, hours: float = 24.0
) -> None:
    """Submit again what a run was.

    Args:
        run: Its id; the beginning will do where this machine submitted it.
        pairs: `key=value` words that change its parameters.
        target: The cluster.
        fresh: Reuse no earlier result.
        wait: Follow the new run to its end.
        as_json: Print one JSON document.
        hours: The longest to follow.

    Raises:
        BadInput: KFP knows no such run, its pipeline is none of this installation, or a parameter is wrong.
        EnvironmentFault: KFP does not answer.
    """
    with connected(target) as cluster:
        before, fused = asked_of(KfpApi(cluster.kfp), run)
        again = take_up(before, pairs, in_store=True)
        if again.project:
            hand_over(cluster, again.project, quiet=as_json)
        declared = again.project.file.project if again.project else None
        order = Order(
            again.pipeline,
            again.arguments,
            fused,
            fresh,
            resources=of_project(declared) if declared else {},
            step_images=images_of(declared) if declared else {},
            given=again.given,
            project=before.project,
            resumes=before.id,
        )
        begin(cluster, order, wait=wait, as_json=as_json, hours=hours)


def asked_of(api: KfpApi, run: str) -> tuple[Asked, bool]:
    """What a run was asked for, and whether all its steps share a pod: as this machine recorded it, else as KFP has it.

    Raises:
        BadInput: KFP knows no such run.
    """
    if (mine := find_submitted(run)) is not None:
        return mine, isinstance(mine, SubmittedRecord) and mine.fused
    name, given = api.asked(run)
    plain = name.removesuffix(SUFFIX).replace("-", "_")
    return Asked(id=run, pipeline=plain, given=given, parameters=given), name.endswith(SUFFIX)
