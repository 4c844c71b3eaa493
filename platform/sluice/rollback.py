"""Making an earlier champion the champion again, on the record: the way back when a promoted model disappoints.

The gate promotes; a person may only go back to what it promoted before, or to no champion at all. The registry's alias
alone is no way back: it would contradict the records, and `sluice lineage` says so.
"""

from components.common.champions import carry_out, chain_and_head
from components.common.errors import BadInput
from components.common.promotions import CROWNING, Chain, Promotion, Ruling, record_promotion
from components.common.registry import Version, parse_reference, version_by_number, version_files
from components.common.steps import default_store
from components.common.stores import Store

MOST_REASON = 1000  # characters


def roll_back(reference: str, reason: str, store: Store | None = None) -> Promotion:
    """Put on record that an earlier champion reigns again, and let the registry follow.

    Args:
        reference: `MODEL/VERSION`, or `MODEL` for the champion before the present one; where there is none that the
            registry still holds, the present one is withdrawn.
        reason: Why; it stands in the record.
        store: Where the records are; by default the steps' own.

    Returns:
        The record.

    Raises:
        BadInput: The reference, the reason or the records are wrong, or the version never was champion.
        EnvironmentFault: The store or the registry failed.
    """
    model, alias, number = parse_reference(reference)
    if "@" in reference:
        raise BadInput(f"{reference!r} names the alias {alias!r}; give {model}/VERSION, or {model} alone")
    words = " ".join(reason.split())
    if not 0 < len(words) <= MOST_REASON:
        raise BadInput(f"--reason has {len(words)} characters; say in 1 to {MOST_REASON} why, it stands in the record")
    store = store or default_store()
    target = _target(chain_and_head(store, model).chain, number)
    if target:
        with version_files(target):
            pass  # files that were changed must not become champion
    record = record_promotion(store, model, lambda chain: _ruling(chain, target, words))
    carry_out(store, model, by_record=True)
    return record


def _target(chain: Chain, number: str) -> Version | None:
    """The version to go back to; None for no champion."""
    crowned = {record.version: record.digest for record in chain.records if record.decision in CROWNING}
    if not crowned:
        raise BadInput(f"no version of {chain.model} ever was champion, so there is nothing to go back to")
    if number:
        if number not in crowned:
            raise BadInput(
                f"{chain.model}/{number} never passed the gate; earlier champions: {', '.join(crowned)}; the pipeline "
                "promotes a version, this command only goes back"
            )
        found = _held(chain.model, number, crowned[number])
        if found is None:
            raise BadInput(f"{chain.model}/{number} is not in the registry any more; known: {', '.join(crowned)}")
        return found
    present = chain.champion.version if chain.champion else ""
    earlier = (number for number in reversed(crowned) if number != present)
    return next((found for each in earlier if (found := _held(chain.model, each, crowned[each]))), None)


def _held(model: str, number: str, digest: str) -> Version | None:
    found = version_by_number(model, number)
    return found if found and found.digest == digest else None


def _ruling(chain: Chain, target: Version | None, reason: str) -> Ruling | Promotion:
    champion = chain.champion
    if target:
        if champion and champion.version == target.version:
            return champion  # only the alias was elsewhere
        return Ruling("restored", target.version, target.digest, reason, {})
    if champion is None:
        return chain.records[-1]
    return Ruling("withdrawn", champion.version, champion.digest, reason, {})
