"""The record of promotions: who or what decided about a model, when, on which evidence. It is only ever appended to.

Each record is an object of its own in the store, `promotions/<model>/<number>.json`, written only where nothing stands
yet, and carries the SHA-256 of the one before: a record that was changed or taken away afterwards shows.
"""

import getpass
import os
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from components.common.digests import canonical_json, sha256_bytes
from components.common.errors import BadInput, EnvironmentFault
from components.common.steps import PIPELINE, RUN
from components.common.stores import Store
from components.common.strict_json import parse_json

Decision = Literal["promoted", "refused", "undecided", "unchanged"]
_DIGITS = 6
_ATTEMPTS = 20


@dataclass(frozen=True)
class Promotion:
    """One decision about one version.

    Attributes:
        number: From 1, without gaps.
        model: The registered model's name.
        decision: `promoted` (it became champion), `refused`, `undecided` (the test rows could not tell) or `unchanged`
            (it already was champion).
        version: The version decided about.
        digest: That version's model digest.
        replaced: The version that was champion before, or None.
        reason: One sentence.
        who: `user@host` of the process that decided.
        run: `pipeline/run`, or empty outside a pipeline.
        when: UTC, ISO 8601, to the second.
        evidence: Checks, metrics with intervals, dataset ids, the evaluation's digest.
        previous: SHA-256 of the record before, empty for the first.
    """

    number: int
    model: str
    decision: Decision
    version: str
    digest: str
    replaced: str | None
    reason: str
    who: str
    run: str
    when: str
    evidence: dict[str, Any]
    previous: str


def promotions(store: Store, model: str) -> list[Promotion]:
    """All records about a model, oldest first, their chain checked.

    Raises:
        BadInput: A record is malformed, missing, or does not follow from the one before.
    """
    return [record for record, _ in _chain(store, model)]


def record_promotion(
    store: Store,
    model: str,
    decision: Decision,
    version: str,
    digest: str,
    replaced: str | None,
    reason: str,
    evidence: Mapping[str, Any],
) -> Promotion:
    """Append a record; two writers at once each get a number of their own.

    Raises:
        BadInput: The chain so far is broken.
        EnvironmentFault: The store failed, or others kept taking the next number.
    """
    for _ in range(_ATTEMPTS):
        chain = _chain(store, model)
        record = Promotion(
            number=len(chain) + 1,
            model=model,
            decision=decision,
            version=version,
            digest=digest,
            replaced=replaced,
            reason=reason,
            who=f"{getpass.getuser()}@{socket.gethostname()}",
            run="/".join(filter(None, (os.environ.get(PIPELINE), os.environ.get(RUN)))),
            when=datetime.now(UTC).isoformat(timespec="seconds"),
            evidence=dict(evidence),
            previous=chain[-1][1] if chain else "",
        )
        if store.put_if_absent(_key(model, record.number), canonical_json(asdict(record))):
            return record
    raise EnvironmentFault(f"{store.uri}/{_folder(model)}: others kept writing records; try again")


def _chain(store: Store, model: str) -> list[tuple[Promotion, str]]:
    """The records with each one's SHA-256."""
    chain: list[tuple[Promotion, str]] = []
    previous = ""
    for number, key in enumerate(store.keys(_folder(model)), 1):
        data = store.get_bytes(key)
        where = f"{store.uri}/{key}"
        record = _parse(data, where)
        if key != _key(model, number) or record.number != number or record.previous != previous:
            raise BadInput(
                f"{where} does not follow from the record before it: a record was changed or removed; "
                "restore the folder from a copy"
            )
        previous = sha256_bytes(data)
        chain.append((record, previous))
    return chain


def _parse(data: bytes, where: str) -> Promotion:
    try:
        record = Promotion(**parse_json(data))
    except (ValueError, TypeError) as error:
        raise BadInput(f"{where} is no promotion record ({error}); restore it from a copy") from None
    if record.decision not in get_args(Decision):
        raise BadInput(f"{where}: decision {record.decision!r} is unknown; restore the record from a copy")
    return record


def _folder(model: str) -> str:
    return f"promotions/{model}/"


def _key(model: str, number: int) -> str:
    return f"{_folder(model)}{number:0{_DIGITS}}.json"
