"""The record of promotions: who or what decided about a model, when, on which evidence. It is only ever appended to.

Each record is an object of its own in the store, `promotions/<model>/<number>.json`, written only where nothing stands
yet, and carries the SHA-256 of the one before: a record that was changed or taken away afterwards shows. The last
one's SHA-256 stands in the registry too (`sluice.registry.champions`).

The record is the one place where it is decided who is champion. Of two that decide at once one writes the next number;
the other has to judge again, by the chain as it is then. So each record is made by a function of the chain so far.
"""

import socket
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from sluice.core.digests import canonical_json, sha256_bytes
from sluice.core.errors import BadInput, EnvironmentFault
from sluice.core.json_documents import parse_json
from sluice.core.settings import settings
from sluice.core.user_names import user_name
from sluice.storage.stores import Store

Decision = Literal["promoted", "waits", "refused", "undecided", "unchanged", "appointed", "restored", "withdrawn"]
CROWNING = ("promoted", "appointed", "restored")  # after these the version is champion, after `withdrawn` there is none
SCHEMA = 2
_DIGITS = 6
_ATTEMPTS = 100


@dataclass(frozen=True)
class Ruling:
    """A decision that is to be recorded; `Promotion` says what its fields mean."""

    decision: Decision
    version: str
    digest: str
    reason: str
    evidence: dict[str, Any]


@dataclass(frozen=True)
class Promotion:
    """One decision about one version.

    Attributes:
        number: From 1, without gaps.
        model: The registered model's name.
        decision: `promoted` (it became champion), `waits` (it passed the gate, and a person has the last word),
            `refused`, `undecided` (the test rows could not tell), `unchanged` (it already was champion); by a
            person: `appointed` (made champion past the gate), `restored` (an earlier champion reigns again) or
            `withdrawn` (there is no champion any more).
        version: The version decided about.
        digest: That version's model digest.
        replaced: Where the champion changed, the version that was champion before; else None.
        reason: One sentence.
        who: `user@host` of the process that decided.
        run: `pipeline/run`, or empty outside a pipeline.
        when: UTC, ISO 8601, to the second.
        evidence: Checks, metrics with intervals, dataset ids, the evaluation's digest.
        previous: SHA-256 of the record before, empty for the first.
        champion: Version and digest of the champion that the chain held before this record, or None: what the version
            was judged against. Records of schema 1, from before 2026-12, do not say.
        schema: Of the record.
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
    champion: dict[str, str] | None = None
    schema: int = 1


@dataclass(frozen=True)
class Chain:
    """All records about a model, their chain checked.

    Attributes:
        model: The registered model's name.
        records: Oldest first.
        digests: Each one's SHA-256.
    """

    model: str
    records: tuple[Promotion, ...] = ()
    digests: tuple[str, ...] = ()

    @property
    def champion(self) -> Promotion | None:
        """The record that made the present champion champion; None where there is none."""
        return champion_after(self.records)


def champion_after(records: Sequence[Promotion]) -> Promotion | None:
    """The record that made the champion champion who reigns after these; None where nobody does."""
    turns = (record for record in reversed(records) if record.decision in (*CROWNING, "withdrawn"))
    last = next(turns, None)
    return last if last and last.decision in CROWNING else None


def promotions(store: Store, model: str) -> list[Promotion]:
    """All records about a model, oldest first, their chain checked.

    Raises:
        BadInput: A record is malformed, missing, or does not follow from the one before.
    """
    return list(promotion_chain(store, model).records)


def record_promotion(
    store: Store,
    model: str,
    judge: Callable[[Chain], Ruling | Promotion],
    announce: Callable[[int, str], None] = lambda _number, _digest: None,
) -> Promotion:
    """Append the record of a decision; of two writers at once each gets a number of its own, one after the other.

    Args:
        store: Where the records are.
        model: The registered model's name.
        judge: Is given the chain as it is, and decides: it is asked again when another record came first. It may
            answer with a record that is there already; then nothing is written.
        announce: Is told number and SHA-256 of a record before it is written.

    Raises:
        BadInput: The chain so far is broken, or `judge` refuses.
        EnvironmentFault: The store failed, or others kept taking the next number.
    """
    for _ in range(_ATTEMPTS):
        chain = promotion_chain(store, model)
        ruling = judge(chain)
        if isinstance(ruling, Promotion):
            return ruling
        record = _next(chain, ruling)
        data = canonical_json(asdict(record))
        announce(record.number, sha256_bytes(data))
        if store.put_if_absent(_key(model, record.number), data):
            return record
    raise EnvironmentFault(f"{store.uri}/{_folder(model)}: others kept writing records; try again")


def _next(chain: Chain, ruling: Ruling) -> Promotion:
    before = chain.champion
    turned = ruling.decision in (*CROWNING, "withdrawn")
    return Promotion(
        number=len(chain.records) + 1,
        model=chain.model,
        decision=ruling.decision,
        version=ruling.version,
        digest=ruling.digest,
        replaced=before.version if before and turned else None,
        reason=ruling.reason,
        who=f"{user_name()}@{socket.gethostname()}",
        run="/".join(filter(None, (settings().run.pipeline, settings().run.run))),
        when=datetime.now(UTC).isoformat(timespec="seconds"),
        evidence=ruling.evidence,
        previous=chain.digests[-1] if chain.digests else "",
        champion={"version": before.version, "digest": before.digest} if before else None,
        schema=SCHEMA,
    )


def promotion_chain(store: Store, model: str) -> Chain:
    """The records with each one's SHA-256; raises as `promotions`."""
    records: list[Promotion] = []
    digests: list[str] = []
    for number, key in enumerate(store.keys(_folder(model)), 1):
        data = store.get_bytes(key)
        where = f"{store.uri}/{key}"
        record = _parse(data, where)
        follows = record.number == number and record.previous == (digests[-1] if digests else "")
        if key != _key(model, number) or not follows or record.model != model or not _agrees(record, records):
            raise BadInput(
                f"{where} does not follow from the record before it: a record was changed or removed; "
                "restore the folder from a copy"
            )
        records.append(record)
        digests.append(sha256_bytes(data))
    return Chain(model, tuple(records), tuple(digests))


def _agrees(record: Promotion, before: Sequence[Promotion]) -> bool:
    """Whether a record names the champion that the records before it hold."""
    champion = champion_after(before)
    held = {"version": champion.version, "digest": champion.digest} if champion else None
    return record.schema < SCHEMA or record.champion == held


def _parse(data: bytes, where: str) -> Promotion:
    try:
        record = Promotion(**parse_json(data, where))
    except (ValueError, TypeError) as error:
        raise BadInput(f"{where} is no promotion record ({error}); restore it from a copy") from None
    if not isinstance(record.evidence, dict) or record.schema not in (1, SCHEMA):
        raise BadInput(f"{where} is no promotion record of schema 1 or {SCHEMA}; restore it from a copy")
    if record.decision not in get_args(Decision):
        raise BadInput(f"{where}: decision {record.decision!r} is unknown; restore the record from a copy")
    return record


def _folder(model: str) -> str:
    return f"promotions/{model}/"


def record_address(store: Store, model: str, number: int) -> str:
    """Where a record stands, for people."""
    return f"{store.uri}/{_key(model, number)}"


def _key(model: str, number: int) -> str:
    return f"{_folder(model)}{number:0{_DIGITS}}.json"
