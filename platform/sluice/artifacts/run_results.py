"""What a pipeline run leaves for people: its report and its result, in the store under the run's id.

The same place on a laptop and on a cluster, so whoever follows a run finds them without asking KFP.
"""

import json
from pathlib import Path
from typing import Any

from sluice.artifacts.producer import RUN
from sluice.core.errors import BadInput
from sluice.core.settings import settings
from sluice.storage.keys import check_key
from sluice.storage.stores import Store

REPORT, RESULT = "report.html", "result.json"


def results_key(run: str, name: str) -> str:
    """Where a run's REPORT or RESULT stands in the store."""
    return f"runs/{run}/{name}"


def publish_results(store: Store, report: Path, result: Path) -> str | None:
    """Put report and result under the present run's id, SLUICE_RUN; without one there is nothing to do.

    Returns:
        The report's address, or None.

    Raises:
        BadInput: SLUICE_RUN is no name of a folder.
        EnvironmentFault: The store failed.
    """
    run = settings().run.run
    if not run:
        return None
    try:
        check_key(results_key(run, REPORT))
    except BadInput as error:
        raise BadInput(f"{RUN}={run!r}: {error}") from None
    store.put_file(results_key(run, RESULT), result)
    store.put_file(results_key(run, REPORT), report)
    return f"{store.uri}/{results_key(run, REPORT)}"


def read_result(store: Store, run: str) -> dict[str, Any]:
    """The result that a run published.

    Raises:
        BadInput: It published none.
        EnvironmentFault: The store failed.
    """
    return dict(json.loads(store.get_bytes(results_key(run, RESULT))))
