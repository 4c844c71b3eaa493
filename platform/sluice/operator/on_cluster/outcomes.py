"""What came of a run that has ended: the version that it registered, as its result in the store tells."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from sluice.artifacts.run_results import RESULT, read_result, results_key
from sluice.cluster.kfp_api import KfpApi
from sluice.core.errors import SluiceError
from sluice.core.termination_message import read_message
from sluice.operator.evidence import RunSeen
from sluice.storage.stores import Store

_MOST = 2000
_PASSED = {"promoted": True, "unchanged": True, "refused": False}


class Outcomes:
    """Results of runs, each read once."""

    def __init__(self, store: Callable[[], Store], api: KfpApi) -> None:
        self._store, self._api = store, api
        self._lock = threading.Lock()
        self._known: OrderedDict[str, dict[str, Any]] = OrderedDict()

    def told(self, run: RunSeen) -> RunSeen:
        """The same with what came of it, once it has ended.

        Raises:
            EnvironmentFault: The store or KFP failed.
        """
        if run.state == "succeeded":
            return run.model_copy(update=self._once(run.id, lambda: self._registered(run.id)))
        if run.state == "failed":
            return run.model_copy(update=self._once(run.id, lambda: {"reason": self._failure(run.id)}))
        return run

    def _once(self, run: str, find: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        with self._lock:
            if run in self._known:
                return self._known[run]
        found = find()
        with self._lock:
            self._known[run] = found
            while len(self._known) > _MOST:
                self._known.popitem(last=False)
        return found

    def _registered(self, run: str) -> dict[str, Any]:
        store = self._store()
        if not store.exists(results_key(run, RESULT)):
            return {"reason": "The run registered nothing."}
        result = read_result(store, run)
        decision = str(result.get("decision", ""))
        return {
            "version": _text(result, "version"),
            "digest": _text(result, "model_digest"),
            "passed": result.get("passed", _PASSED.get(decision)),
            "promoted": decision in ("promoted", "unchanged"),
            "reason": str(result.get("reason", ""))[:1000],
        }

    def _failure(self, run: str) -> str:
        try:
            told = self._api.run(run)
        except SluiceError as error:
            return str(error)
        nodes = told.manifest.get("status", {}).get("nodes", {}).values()
        messages = [str(node.get("message") or "") for node in nodes if node.get("phase") in ("Failed", "Error")]
        said = next((found for message in messages if (found := read_message(message))), None)
        words = str(said) if said else next(filter(None, messages), told.error)
        return " ".join(words.split())[:1000] or "KFP does not say why."


def _text(result: Mapping[str, Any], name: str) -> str | None:
    return str(result[name]) if result.get(name) else None
