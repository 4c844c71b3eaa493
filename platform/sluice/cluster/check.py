"""Whether a release works: a pipeline of one step, in the platform's own step image, run by the real KFP.

`python -m sluice.cluster.check` is what `helm test` runs. The step writes to the store, reads it back and asks
MLflow, so the chain from KFP over Argo, the driver and the launcher to the stores is seen whole.
"""

import sys
import time

from sluice.cluster.connection import KFP
from sluice.cluster.kfp_api import KfpApi, Run
from sluice.cluster.site_rules import SiteRules
from sluice.cluster.spec import compile_for_cluster
from sluice.cluster.workflow_steps import steps_of
from sluice.core.errors import BadInput, EnvironmentFault, SluiceError
from sluice.core.progress import progress
from sluice.core.settings import settings
from sluice.core.step_images import TABULAR_IMAGE, step_images
from sluice.pipelines._check import sluice_check
from sluice.running.catalog import Pipeline

EXPERIMENT = "helm-test"
PAUSE_SECONDS = 1.0
IMAGE_SECONDS = 60.0  # how long a pod may lack its image


def own_pipeline() -> Pipeline:
    """The pipeline that the check runs; the chart's admission policy knows its step, too."""
    return Pipeline("sluice_check", "", (), sluice_check)


def run() -> str:
    """Run the pipeline; one line that says how it went.

    Raises:
        BadInput: SLUICE_KFP is not set, or it or SLUICE_CHECK_SECONDS is wrong.
        EnvironmentFault: The run failed or did not end in time.
    """
    url, seconds = settings().cluster.kfp, settings().check.seconds
    if not url:
        raise BadInput(f"{KFP} is not set; give it the URL of KFP's API")
    api = KfpApi(url)
    plan = SiteRules.of(settings().cluster).plan()
    spec = compile_for_cluster(own_pipeline(), step_images(settings().images), resources=plan)
    begin = time.monotonic()
    made = api.create_run("sluice-check", api.experiment(EXPERIMENT), spec.documents(), {})
    progress(f"run {made} started in experiment {EXPERIMENT}")
    try:
        ended = _wait(api, made, seconds)
    except EnvironmentFault:
        api.cancel(made)  # nobody else will look after it
        raise
    if ended.state != "SUCCEEDED":
        (step,) = steps_of(ended.manifest, ["touch-store"])
        raise EnvironmentFault(
            f"run {made} {ended.state.lower()}: {step.message or ended.error or 'KFP does not say why'}"
        )
    return f"a pipeline ran through KFP to the object store and MLflow and back in {time.monotonic() - begin:.0f} s"


def _wait(api: KfpApi, run_id: str, seconds: float) -> Run:
    deadline, before, since = time.monotonic() + seconds, "", None
    while True:
        found = api.run(run_id)
        (step,) = steps_of(found.manifest, ["touch-store"])
        if found.ended:
            return found
        now = f"{found.state.lower() or 'pending'}, step {step.state}{', without its image' * step.lacks_image}"
        if now != before:
            progress(now)
            before = now
        since = (since or time.monotonic()) if step.lacks_image else None
        if since and time.monotonic() - since > IMAGE_SECONDS:
            raise EnvironmentFault(f"run {run_id} lacks its image: {step.message}; give the cluster {TABULAR_IMAGE}")
        if time.monotonic() > deadline:
            raise EnvironmentFault(f"waited {seconds:.0f} s for run {run_id} to end; it is {now}")
        time.sleep(PAUSE_SECONDS)


def main() -> None:
    """Check; an error ends in one line and its exit code."""
    try:
        print(run())  # noqa: T201 - the pod's log
    except SluiceError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - the pod's log
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
