"""MLflow runs that seem to run for ever: their run in KFP was killed or cancelled faster than it could say so.

Whoever began a run may be gone by then, so the operator looks, once for all: at the runs that MLflow takes for running,
and at what KFP says of them. MLflow is asked without its client, whose import takes 250 MB. Source: MLflow's REST API
2.0, `experiments/search`, `runs/search`, `runs/update`, `runs/set-tag`.
"""

import json
import time
from collections.abc import Callable
from typing import Any

import urllib3

from sluice.cluster.kfp_api import KfpApi
from sluice.core.addresses import is_web_address, redacted, shown, without_login
from sluice.core.authorities import tls_context
from sluice.core.errors import BadInput, EnvironmentFault
from sluice.core.progress import progress
from sluice.registry.mlflow_access import tracking_uri
from sluice.registry.pipeline_runs import ERROR_TAG, KFP_TAG, PARENT_TAG, RUN_TAG, error_line
from sluice.registry.registry_server import account_header

Json = dict[str, Any]
_STATUS = {"FAILED": "FAILED", "CANCELED": "KILLED", "CANCELING": "KILLED"}
_MOST = 100
_OLD_MILLISECONDS = 30_000
"""A run that began later is looked at next time: its steps may be about to end it themselves."""


class EndedRuns:
    """Ends in MLflow what has ended in KFP."""

    def __init__(self, kfp: KfpApi, address: Callable[[], str] = tracking_uri) -> None:
        self._kfp, self._address = kfp, address
        self._pool: urllib3.PoolManager | None = None

    def look(self) -> list[str]:
        """End those that ended badly; KFP's ids of them.

        Raises:
            EnvironmentFault: MLflow or KFP failed.
        """
        if not is_web_address(self._address()):
            return []
        experiments = [
            each["experiment_id"]
            for each in self._ask("experiments/search", {"max_results": 1000}).get("experiments", ())
        ]
        if not experiments:
            return []
        query = {"experiment_ids": experiments, "filter": "attributes.status = 'RUNNING'", "max_results": _MOST}
        ended = []
        for found in self._ask("runs/search", query).get("runs", ()):
            tags = {each["key"]: each["value"] for each in found["data"].get("tags", ())}
            run = tags.get(KFP_TAG) or tags.get(RUN_TAG, "")
            if run and PARENT_TAG not in tags and self._is_old(found) and self._settle(found, run, tags):
                ended.append(run)
        return ended

    def _is_old(self, found: Json) -> bool:
        return time.time() * 1000 - int(found["info"]["start_time"]) > _OLD_MILLISECONDS

    def _settle(self, found: Json, run: str, tags: Json) -> bool:
        try:
            told = self._kfp.listed(run)
        except BadInput:
            return False  # of another cluster, or of a laptop
        status = _STATUS.get(told.state)
        if not status:
            return False
        info = found["info"]
        under = f"tags.`{PARENT_TAG}` = '{info['run_id']}' and attributes.status = 'RUNNING'"
        query = {"experiment_ids": [info["experiment_id"]], "filter": under, "max_results": _MOST}
        for each in [*self._ask("runs/search", query).get("runs", ()), found]:
            end = {"run_id": each["info"]["run_id"], "status": status, "end_time": int(time.time() * 1000)}
            self._ask("runs/update", end)
        if ERROR_TAG not in tags:
            words = error_line(
                f"run {run} {'was cancelled' if status == 'KILLED' else 'failed, and its step could not say why'}"
            )
            self._ask("runs/set-tag", {"run_id": info["run_id"], "key": ERROR_TAG, "value": words})
        progress(f"run {run} has ended in KFP ({told.state.lower()}); its MLflow run is ended, too")
        return True

    def _ask(self, what: str, body: Json) -> Json:
        address, login = without_login(self._address().rstrip("/"))
        if self._pool is None:
            secure = {"ssl_context": tls_context()} if address.startswith("https:") else {}
            headers = {"Content-Type": "application/json"} | account_header(login)
            self._pool = urllib3.PoolManager(num_pools=1, headers=headers, timeout=10, retries=False, **secure)
        where = f"MLflow at {shown(address)}"
        try:
            answer = self._pool.request("POST", f"{address}/api/2.0/mlflow/{what}", body=json.dumps(body).encode())
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise EnvironmentFault(f"{where} failed: {redacted(str(error))[:200]}") from None
        if answer.status != 200:
            raise EnvironmentFault(f"{where} failed: {what} answered {answer.status}")
        return dict(json.loads(answer.data or b"{}"))
