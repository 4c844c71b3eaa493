"""What a release needs beyond its manifests: buckets, the pipelines in KFP, training runtimes.

The chart's Job runs `python -m sluice.cluster.setup` after each install and upgrade; doing it again changes nothing.
With the chart's own MinIO the buckets are there by then (`store_accounts`).
"""

import sys
from pathlib import Path

from sluice.cluster.access import Kubernetes, Target
from sluice.cluster.buckets import make_buckets, require_answer, required_buckets
from sluice.cluster.kfp_api import KfpApi
from sluice.cluster.runtimes import apply_runtimes, named
from sluice.cluster.site_rules import SiteRules
from sluice.cluster.uploads import all_specs, upload
from sluice.cluster.waiting import wait_for
from sluice.core.errors import SluiceError
from sluice.core.progress import progress
from sluice.core.settings import settings
from sluice.core.step_images import step_images

NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def main() -> None:
    """Set up; an error ends in one line and its exit code."""
    try:
        run()
    except SluiceError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - the Job's log
        sys.exit(error.exit_code)


def run() -> None:
    """Make buckets, upload pipelines, apply runtimes, in this order; each waits for its service until the deadline.

    Raises:
        BadInput: A setting is missing or malformed, or a server refuses what it is given.
        EnvironmentFault: A service did not come up in time.
    """
    seconds = settings().jobs.seconds
    buckets = required_buckets()
    if buckets:
        wait_for("the object store", seconds, require_answer)
        made = make_buckets(buckets)
        progress(f"buckets {', '.join(buckets)}: {len(made)} made, the others were there")
    if url := settings().cluster.kfp:
        _upload_all(url, seconds)
    if named():
        apply_runtimes(Kubernetes(Target(_namespace())), named(), seconds)


def _upload_all(url: str, seconds: float) -> None:
    api = KfpApi(url)
    version = wait_for(f"KFP's API at {url}", seconds, api.version)
    choices = api.takes_choices()
    progress(f"KFP {version}: {'with' if choices else 'without'} drop-downs for choices")
    plan = SiteRules.of(settings().cluster).plan()
    for spec in all_specs(step_images(settings().images), choices=choices, resources=plan):
        new = upload(api, spec)
        progress(f"pipeline {spec.name}: version {spec.version} {'uploaded' if new else 'was there already'}")


def _namespace() -> str:
    """Where runs live: apart, where the release says so, else in this pod's namespace."""
    if apart := settings().cluster.runs_namespace:
        return apart
    return NAMESPACE_FILE.read_text(encoding="utf-8").strip() if NAMESPACE_FILE.exists() else Target().namespace


if __name__ == "__main__":
    main()
