"""The lineage of decisions in the store: `decisions/NAMESPACE/NAME/….json`, each written once, numbered from 1.

The name of a record ends in the decision's number; on a cluster the resource's uid stands before it, as another
resource of the same name begins again at 1.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from sluice.core.errors import BadInput
from sluice.operator.state import Decision
from sluice.storage.stores import Store

DECISIONS = "decisions"


@dataclass(frozen=True)
class Kept:
    """A decision that was kept: whose it is, what was decided, and where the record is."""

    namespace: str
    name: str
    decision: Decision
    key: str


def read_decisions(store: Store, about: str = "", most: int = 0) -> list[Kept]:
    """Decisions that were kept, oldest first.

    Args:
        store: With the records.
        about: Only those about this registered model, or of the ContinuousTraining of this name; empty for all.
        most: Only so many of each ContinuousTraining, the newest; 0 for all.

    Raises:
        BadInput: A record is malformed.
        EnvironmentFault: The store failed.
    """
    by_place: dict[tuple[str, str], list[str]] = {}
    for key in store.keys(f"{DECISIONS}/"):
        namespace, name = key.split("/")[1:3]
        by_place.setdefault((namespace, name), []).append(key)
    found: list[Kept] = []
    for (namespace, name), keys in by_place.items():
        keys.sort(key=lambda key: int(key.rpartition("/")[2].removesuffix(".json").rpartition("-")[2]))
        if about and about != name and about != _read(store, keys[-1]).model:
            continue
        found += (Kept(namespace, name, _read(store, key), key) for key in keys[-most:])
    return sorted(found, key=lambda each: (each.decision.at, each.decision.number))


def _read(store: Store, key: str) -> Decision:
    try:
        document = json.loads(store.get_bytes(key))
        known = {field.alias or name for name, field in Decision.model_fields.items()}
        return Decision.model_validate({name: value for name, value in document.items() if name in known})
    except (ValueError, AttributeError) as error:
        raise BadInput(f"{store.uri}/{key} is no decision ({str(error).splitlines()[0]})") from None


def of_model(kept: list[Kept]) -> Iterator[tuple[tuple[str, str], list[Kept]]]:
    """Decisions by namespace and name."""
    places = dict.fromkeys((each.namespace, each.name) for each in kept)
    for place in places:
        yield place, [each for each in kept if (each.namespace, each.name) == place]
