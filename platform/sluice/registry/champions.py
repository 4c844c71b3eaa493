"""Who is champion: the records in the store decide, the registry's alias follows, and neither is believed alone.

The registry keeps, as a tag of the registered model, number and SHA-256 of the last record (the chain's head). So a
last record that was changed or removed shows, which the chain by itself cannot tell; an alias that was moved by hand
shows against the records.

Where a run is killed between the record and the alias, the head in the registry lags behind: the next run carries out
what was decided, if the registry was told of the record before it was written: one that somebody put into the store
by hand moves nothing. Whoever writes reads again afterwards, until nothing is left to do, so that of several at once
the last decision stands in the end. Before the alias moves, the head is set back to where the writer started from: at
no moment does the registry show a head whose champion it does not have.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from sluice.core.errors import BadInput, EnvironmentFault
from sluice.registry.promotions import Chain, Promotion, champion_after, promotion_chain, record_address
from sluice.registry.versions import (
    CHAMPION,
    Version,
    registry_entry,
    remove_alias,
    remove_model_tag,
    set_alias,
    set_model_tag,
    version_by_number,
)
from sluice.storage.stores import Store

HEAD = "sluice.promotions"
ANNOUNCED = "sluice.decision."  # and number and digest of a record
_KEPT_ANNOUNCEMENTS = 10  # of records that are carried out: a slow writer may set the head back by some
_PAUSES = (0.3, 1.0, 0.0)  # seconds before looking again: another run may be at it
_ATTEMPTS = 50


@dataclass(frozen=True)
class Standing:
    """Records and registry of one model, which agree as far as they can.

    Attributes:
        chain: The records.
        head: What the registry keeps of them, `<number> <SHA-256>`, or empty.
        kept: The number in it: records after that one are not carried out yet.
        alias: The version that the alias points to, or empty.
        announced: The registry's tags about records: those that were to be written.
    """

    chain: Chain
    head: str
    kept: int
    alias: str
    announced: dict[str, str]

    @property
    def champion(self) -> Promotion | None:
        """The record by which the champion is champion; None where there is none."""
        return self.chain.champion

    @property
    def settled(self) -> bool:
        """Whether every record is carried out."""
        return self.kept == len(self.chain.records)


def standing(store: Store, model: str) -> Standing:
    """Read the records and hold them against the registry.

    Raises:
        BadInput: A record was changed or removed, the alias was moved by hand, or the two are not of each other: the
            message says which, and the way out.
        EnvironmentFault: The store or the registry failed.
    """

    def look() -> tuple[Standing, str]:
        found = chain_and_head(store, model)
        return found, _alias_problem(found, store)

    return _look_again(look)


def chain_and_head(store: Store, model: str) -> Standing:
    """The same, but whatever the alias says; raises as `standing` for records that were changed or removed."""

    def look() -> tuple[Standing, str]:
        entry = registry_entry(model)  # first: the records can only be ahead of it
        chain = promotion_chain(store, model)
        aliases, tags = (entry.aliases, entry.tags) if entry else ({}, {})
        announced = {key: value for key, value in tags.items() if key.startswith(ANNOUNCED)}
        head = tags.get(HEAD, "")
        found = Standing(chain, head, _kept(head, chain), aliases.get(CHAMPION, ""), announced)
        return found, _head_problem(found, store)

    return _look_again(look)


def settled(store: Store, model: str) -> Standing:
    """The standing of a model about which everything that was decided is carried out.

    Raises:
        BadInput: A record is not carried out, or as `standing`.
        EnvironmentFault: The store or the registry failed.
    """

    def look() -> tuple[Standing, str]:
        found = standing(store, model)
        return found, "" if found.settled else _not_carried_out(found, store)

    return _look_again(look)


def champion_version(store: Store, model: str) -> Version | None:
    """The champion, by the records; None where there is none. Raises as `standing`."""
    champion = standing(store, model).champion
    return version_by_number(model, champion.version) if champion else None


def announce(model: str, number: int, digest: str) -> None:
    """Tell the registry of a record that is about to be written.

    Args:
        model: The registered model's name.
        number: The record's.
        digest: Its SHA-256.

    Raises:
        EnvironmentFault: The registry failed.
    """
    set_model_tag(model, _announcement(number, digest), digest)


def carry_out(store: Store, model: str, *, by_record: bool = False) -> None:
    """Let the registry follow the records: alias, then head.

    Args:
        store: Where the records are.
        model: The registered model's name.
        by_record: A person has just put on record where the alias shall point, wherever it points now.

    Raises:
        BadInput: As `standing`.
        EnvironmentFault: The store or the registry failed, or others kept deciding.
    """
    for _ in range(_ATTEMPTS):
        found = chain_and_head(store, model) if by_record else standing(store, model)
        champion, head = found.champion.version if found.champion else "", _head(found.chain)
        if (found.alias, found.head) == (champion, head):
            _forget_announcements(model, found)
            return
        if found.alias != champion:
            set_model_tag(model, HEAD, found.head or "0")
            _point(model, champion)
        if head:
            set_model_tag(model, HEAD, head)
    raise EnvironmentFault(f"model {model}: others kept deciding about it; try again")


def _look_again(look: Callable[[], tuple[Standing, str]]) -> Standing:
    """What `look` finds as soon as it has no problem with it; the last problem is raised as BadInput."""
    for pause in _PAUSES:
        found, problem = look()
        if not problem:
            return found
        time.sleep(pause)
    raise BadInput(problem)


def _not_carried_out(found: Standing, store: Store) -> str:
    return (
        f"{record_address(store, found.chain.model, found.kept + 1)} is written, but the registry does not know of it: "
        "a run was killed, or is at it this moment; a run of the pipeline carries it out"
    )


def _point(model: str, champion: str) -> None:
    if champion:
        set_alias(model, CHAMPION, champion)
    else:
        remove_alias(model, CHAMPION)


def _forget_announcements(model: str, found: Standing) -> None:
    for key in found.announced:
        number = key.removeprefix(ANNOUNCED).partition(".")[0]
        if number.isdecimal() and int(number) <= found.kept - _KEPT_ANNOUNCEMENTS:
            remove_model_tag(model, key)


def _head(chain: Chain) -> str:
    return f"{len(chain.digests)} {chain.digests[-1]}" if chain.digests else ""


def _kept(head: str, chain: Chain) -> int:
    """How many records the registry knows: before 2026-12 it kept no head, and records followed schema 1."""
    number = head.partition(" ")[0]
    if number.isascii() and number.isdecimal() and len(number) < 10:
        return int(number)
    return sum(record.schema == 1 for record in chain.records)


def _head_problem(found: Standing, store: Store) -> str:
    chain, kept = found.chain, found.kept
    if kept > len(chain.records):
        return (
            f"{store.uri}/promotions/{chain.model} holds {len(chain.records)} records, and the registry knows of "
            f"{kept}: the others were removed, or SLUICE_STORE is another store; restore them from a copy"
        )
    if found.head and kept and found.head != f"{kept} {chain.digests[kept - 1]}":
        return (
            f"{record_address(store, chain.model, kept)} is not the record whose SHA-256 the registry keeps "
            f"({found.head.partition(' ')[2][:12]}): it was changed; restore it from a copy"
        )
    for number in range(kept + 1, len(chain.records) + 1):
        if found.announced.get(_announcement(number, chain.digests[number - 1])) != chain.digests[number - 1]:
            return (
                f"{record_address(store, chain.model, number)} is a record that no run told the registry of: somebody "
                "put it there, or it is of another registry (MLFLOW_TRACKING_URI); restore the folder from a copy"
            )
    return ""


def _announcement(number: int, digest: str) -> str:
    return f"{ANNOUNCED}{number}.{digest[:12]}"


def _alias_problem(found: Standing, store: Store) -> str:
    """What is wrong with the alias, or with the version that the records call champion; empty for nothing."""
    records, model = found.chain.records, found.chain.model
    turns = [champion_after(records[:number]) for number in range(found.kept, len(records) + 1)]
    if found.alias not in {turn.version if turn else "" for turn in turns}:
        return _moved(found, store)
    champion = found.champion
    version = version_by_number(model, champion.version) if champion else None
    if champion and (version is None or version.digest != champion.digest):
        what = "has another digest" if version else "is not in the registry"
        return (
            f"model {model}: version {champion.version}, champion by {record_address(store, model, champion.number)}, "
            f"{what}: it was removed, or MLFLOW_TRACKING_URI is another registry; restore the registry, or "
            f"`sluice rollback {model} --reason TEXT`"
        )
    return ""


def _moved(found: Standing, store: Store) -> str:
    model, champion = found.chain.model, found.champion
    points = f"points to version {found.alias}" if found.alias else "is not set"
    if champion is None:
        where = f"{store.uri}/promotions/{model}"
        return (
            f"model {model}: the alias champion {points}, but {where} holds no record that made it champion: it was "
            "set by hand, or SLUICE_STORE is another store; remove the alias, or name the store that holds the records"
        )
    way_out = f"put it back with `sluice promote {model}/{champion.version} --reason TEXT`"
    if found.alias:
        way_out += f", or put the move on record with `sluice promote {model}/{found.alias} --reason TEXT`"
    return (
        f"model {model}: the alias champion {points}, but by {record_address(store, model, champion.number)} version "
        f"{champion.version} is champion: the alias was moved by hand; {way_out}"
    )
