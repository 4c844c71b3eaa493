"""A person's say in who is champion, on the record: past the gate to a version, back to the champion before, to none.

The gate cannot decide everything (`components/evaluate/README.md`), and a model that passed it may disappoint. The
registry's alias alone is no way: it would contradict the records, and `sluice lineage` says so.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

from sluice.core.errors import BadInput
from sluice.registry.champions import announce, carry_out, chain_and_head, standing
from sluice.registry.decision import taken_back
from sluice.registry.evidence import tags_digest
from sluice.registry.promotions import CROWNING, Chain, Decision, Promotion, Ruling, record_promotion
from sluice.registry.versions import (
    Version,
    parse_reference,
    registry_entry,
    version_by_number,
    version_files,
    versions,
)
from sluice.storage.locations import default_store
from sluice.storage.stores import Store

MOST_REASON = 1000  # characters


def appoint(reference: str, reason: str, store: Store | None = None) -> Promotion:
    """Put on record that a person makes a version champion, and let the registry follow.

    Args:
        reference: `MODEL/VERSION`.
        reason: Why; it stands in the record.
        store: Where the records are; by default the steps' own.

    Returns:
        The record: `restored` for an earlier champion, `appointed` for another version. Where the version is champion
        by the records already, theirs: only the alias was elsewhere.

    Raises:
        BadInput: The reference, the reason or the records are wrong, or the version's files were changed.
        EnvironmentFault: The store or the registry failed.
    """
    model, _, number = parse_reference(reference)
    words = _words(reason)
    if not number:
        raise BadInput(f"{reference!r} names no version; write MODEL/VERSION")
    found = version_by_number(model, number)
    if found is None or not found.digest:
        known = ", ".join(f"{model}/{each.version}" for each in versions(model) if each.digest)
        raise BadInput(f"{reference!r} is no version that Sluice registered; known: {known or 'none'}")
    store = store or default_store()
    return _put_on_record(store, model, found, words)


def roll_back(model: str, reason: str, store: Store | None = None) -> Promotion:
    """Put on record that the champion before the present one reigns again, and let the registry follow.

    Args:
        model: The registered model's name.
        reason: Why; it stands in the record.
        store: Where the records are; by default the steps' own.

    Returns:
        The record: `restored`, or `withdrawn` where the registry holds no earlier champion, so that none reigns.

    Raises:
        BadInput: The model never had a champion, or the reason or the records are wrong.
        EnvironmentFault: The store or the registry failed.
    """
    name, _, number = parse_reference(model)
    words = _words(reason)
    if name != model or number:
        raise BadInput(f"{model!r} is no model's name alone; for a certain version use `sluice promote MODEL/VERSION`")
    store = store or default_store()
    chain = chain_and_head(store, model).chain
    if not any(record.decision in CROWNING for record in chain.records):
        raise BadInput(f"no version of {model} ever was champion, so there is nothing to go back to")
    return _put_on_record(store, model, _before(chain), words)


def promote_after_canary(
    model: str, number: str, digest: str, champion: str, reason: str, evidence: Mapping[str, Any], store: Store
) -> Promotion:
    """Put on record that a version became champion by its canary, and let the registry follow.

    Args:
        model: The registered model's name.
        number: The version.
        digest: Of its files, as the canary knew them.
        champion: The digest of the champion that it met there.
        reason: What the canary found.
        evidence: What stands in the record of the canary.
        store: Where the records are.

    Returns:
        The record: `promoted`; `refused` where the champion is another one by now, or a person took the model back; or
        that by which the version is champion already.

    Raises:
        BadInput: The version or its files are not what they were, or the records are wrong.
        EnvironmentFault: The store or the registry failed.
    """
    target = version_by_number(model, number)
    if target is None or target.digest != digest:
        raise BadInput(
            f"{model}/{number} is not the version that the canary tried: it was removed or its digest changed"
        )
    with version_files(target):
        pass
    standing(store, model)

    def ruling(chain: Chain) -> Ruling | Promotion:
        now = chain.champion
        if now and (now.version, now.digest) == (number, digest):
            return now
        told: Decision = "promoted"
        words = reason
        if (now.digest if now else "") != champion:
            told, words = "refused", "The champion changed while the canary ran; begin another one."
        elif taken := taken_back(chain, digest):
            told, words = "refused", taken
        return Ruling(told, number, digest, words, {**evidence, "tags": tags_digest(target.tags)})

    record = record_promotion(store, model, ruling, partial(announce, model))
    carry_out(store, model)
    return record


def _words(reason: str) -> str:
    words = " ".join(reason.split())
    if not 0 < len(words) <= MOST_REASON:
        raise BadInput(f"--reason has {len(words)} characters; say in 1 to {MOST_REASON} why, it stands in the record")
    return words


def _before(chain: Chain) -> Version | None:
    """The last champion before the present one that the registry still holds."""
    present = chain.champion.version if chain.champion else ""
    crowned = [r for r in reversed(chain.records) if r.decision in CROWNING and r.version != present]
    held = ((record, version_by_number(chain.model, record.version)) for record in crowned)
    return next((version for record, version in held if version and version.digest == record.digest), None)


def _put_on_record(store: Store, model: str, target: Version | None, reason: str) -> Promotion:
    if target:
        with version_files(target):
            pass  # files that were changed must not become champion
    chain_and_head(store, model)  # nor may a record follow one that was changed
    if registry_entry(model) is None:
        raise BadInput(
            f"the registry holds no model {model} any more: restore it, or move {store.uri}/promotions/{model} away to "
            "begin anew"
        )
    record = record_promotion(store, model, lambda chain: _ruling(chain, target, reason), partial(announce, model))
    carry_out(store, model, by_record=True)
    return record


def _ruling(chain: Chain, target: Version | None, reason: str) -> Ruling | Promotion:
    champion = chain.champion
    if target:
        if champion and (champion.version, champion.digest) == (target.version, target.digest):
            return champion
        reigned = any(r.decision in CROWNING and r.digest == target.digest for r in chain.records)
        evidence = {"tags": tags_digest(target.tags)}
        return Ruling("restored" if reigned else "appointed", target.version, target.digest, reason, evidence)
    if champion is None:
        return chain.records[-1]
    return Ruling("withdrawn", champion.version, champion.digest, reason, {})
