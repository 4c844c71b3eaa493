"""The record of a model's canaries: each begin, decision and end, appended to and chained, with what it rests on.

Each record is an object of its own, `traffic/<model>/records/<number>.json`, created under the next number by
conditional put, and names the SHA-256 of the one before; the cells that a decision was made on stand under their
SHA-256 beside it, so that it can be made again. Servers follow the last record: it says the challenger's weight.
"""

import socket
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from sluice.core.digests import canonical_json, sha256_bytes
from sluice.core.errors import BadInput, EnvironmentFault
from sluice.core.json_documents import parse_json
from sluice.core.user_names import user_name
from sluice.storage.stores import Store

Event = Literal["begin", "hold", "advance", "roll back", "promote", "end"]
RUNNING = ("begin", "hold", "advance")
"""After these a canary goes on."""
_DIGITS = 6
_ATTEMPTS = 20


@dataclass(frozen=True)
class Named:
    """A version in a record.

    Attributes:
        version: Its number.
        digest: SHA-256 of its files.
    """

    version: str
    digest: str


@dataclass(frozen=True)
class TrafficRecord:
    """One event of a canary.

    Attributes:
        number: From 1, without gaps.
        model: The registered model's name.
        event: What happened: `begin` and `end` by a person, the others by the rule.
        canary: The number of the record that began it.
        champion: Who was champion.
        challenger: Who was tried.
        weight: The challenger's share of the subjects, from now on.
        reason: One sentence.
        plan: What was wanted, see `canary.Plan`.
        state: Where the canary is, see `canary.State`.
        verdict: What the rule found, see `canary.Verdict`; empty for a person's event.
        evidence: SHA-256 of the cells that it rests on, or empty.
        who: `user@host` of the process that wrote it.
        moment: Seconds since 1970 (UTC).
        when: The same, ISO 8601, to the second.
        previous: SHA-256 of the record before, empty for the first.
        schema: Of the record.
    """

    number: int
    model: str
    event: Event
    canary: int
    champion: Named
    challenger: Named
    weight: float
    reason: str
    plan: Mapping[str, Any]
    state: Mapping[str, Any]
    verdict: Mapping[str, Any]
    evidence: str
    who: str
    moment: float
    when: str
    previous: str
    schema: int = 1

    @property
    def running(self) -> bool:
        """Whether the canary goes on after it."""
        return self.event in RUNNING

    @property
    def place(self) -> str:
        """Names what is counted for its step: `<canary>-<step>`."""
        return f"{self.canary}-{self.state.get('step', 0)}"


@dataclass(frozen=True)
class News:
    """What a record is made of; `TrafficRecord` says what its fields mean. A `canary` of 0 is the record's own."""

    event: Event
    champion: Named
    challenger: Named
    weight: float
    reason: str
    plan: Mapping[str, Any]
    state: Mapping[str, Any]
    verdict: Mapping[str, Any] = field(default_factory=dict)
    evidence: str = ""
    canary: int = 0


class TrafficRecords:
    """A model's records, read once and then followed: a look costs one question to the store.

    Args:
        store: Where they are.
        model: The registered model's name.
    """

    def __init__(self, store: Store, model: str) -> None:
        self.store, self.model = store, model
        self.records: list[TrafficRecord] = []
        self._digests: list[str] = []

    @property
    def last(self) -> TrafficRecord | None:
        """The last that was read."""
        return self.records[-1] if self.records else None

    def refresh(self) -> TrafficRecord | None:
        """Read what came since, and give the last.

        Raises:
            BadInput: A record is malformed or does not follow from the one before.
            EnvironmentFault: The store failed.
        """
        while self.store.exists(key := self._key(len(self.records) + 1)):
            data = self.store.get_bytes(key)
            record = _parsed(data, f"{self.store.uri}/{key}")
            before = self._digests[-1] if self._digests else ""
            if (record.number, record.model, record.previous) != (len(self.records) + 1, self.model, before):
                raise BadInput(
                    f"{self.store.uri}/{key} does not follow from the record before it: a record was changed or "
                    "removed; restore the folder from a copy"
                )
            self.records.append(record)
            self._digests.append(sha256_bytes(data))
        return self.last

    def append(self, made: Callable[[TrafficRecord | None], News | None], moment: float) -> TrafficRecord | None:
        """Write the next record.

        Args:
            made: Is given the last record, and says what to write, or None for nothing; asked again where another
                process was first.
            moment: Seconds since 1970.

        Raises:
            BadInput: The records so far are broken, or `made` refuses.
            EnvironmentFault: The store failed, or others kept writing.
        """
        for _ in range(_ATTEMPTS):
            news = made(self.refresh())
            if news is None:
                return None
            record = self._next(news, moment)
            if self.store.put_if_absent(self._key(record.number), canonical_json(asdict(record))):
                return self.refresh()
        raise EnvironmentFault(f"{self.store.uri}/{self._folder}: others kept writing records; try again")

    def keep(self, evidence: Mapping[str, Any]) -> str:
        """Keep what a decision rests on; its SHA-256."""
        data = canonical_json(evidence)
        digest = sha256_bytes(data)
        self.store.put_if_absent(f"traffic/{self.model}/evidence/{digest}.json", data)
        return digest

    def _next(self, news: News, moment: float) -> TrafficRecord:
        number = len(self.records) + 1
        return TrafficRecord(
            **{**{name: getattr(news, name) for name in News.__dataclass_fields__}, "canary": news.canary or number},
            number=number,
            model=self.model,
            who=f"{user_name()}@{socket.gethostname()}",
            moment=moment,
            when=datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds"),
            previous=self._digests[-1] if self._digests else "",
        )

    @property
    def _folder(self) -> str:
        return f"traffic/{self.model}/records"

    def _key(self, number: int) -> str:
        return f"{self._folder}/{number:0{_DIGITS}}.json"


def weight_by(record: TrafficRecord | None, champion: str, challenger: str) -> float:
    """The challenger's weight after a record: 0 for any pair of digests but the one that it is about."""
    if record is None or (record.champion.digest, record.challenger.digest) != (champion, challenger):
        return 0.0
    return record.weight


def _parsed(data: bytes, where: str) -> TrafficRecord:
    try:
        body: dict[str, Any] = dict(parse_json(data, where))
        body |= {name: Named(**body[name]) for name in ("champion", "challenger")}
        record = TrafficRecord(**body)
        if record.schema != 1 or record.event not in get_args(Event) or not 0 <= record.weight <= 1:
            raise ValueError("of another schema, event or weight")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BadInput(f"{where} is no record of a canary ({error}); restore it from a copy") from None
    return record
