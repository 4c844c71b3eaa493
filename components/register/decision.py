"""The decision about the alias `champion`: written down first, then carried out."""

from typing import Any

from components.common.bundles import Bundle
from components.common.promotions import Decision, Promotion, promotions, record_promotion
from components.common.registry import CHALLENGER, CHAMPION, Version
from components.common.stores import Store
from components.register.logging_model import set_alias
from components.register.verdict import Verdict

_DECISIONS: dict[str, Decision] = {
    "promote": "promoted",
    "refuse": "refused",
    "undecided": "undecided",
    "unchanged": "unchanged",
}
_STALE = "The champion changed while this evaluation was made; run the pipeline again to compare with the new one."


def decide(
    store: Store, verdict: Verdict, version: Version, champion: Version | None, lineage: list[Bundle]
) -> Promotion:
    """Write the record, then move the alias; a record that would only repeat the last one is not written.

    Args:
        store: Where the records are.
        verdict: What evaluation found.
        version: The version to decide about.
        champion: The version that is champion now.
        lineage: The datasets behind it.

    Returns:
        The record of this decision.
    """
    decision, reason = _DECISIONS[verdict.body["decision"]], str(verdict.body["reason"])
    if champion and champion.digest == version.digest:
        decision = "unchanged"
    elif (champion.digest if champion else "") != verdict.champion_digest:
        decision = "refused"
        reason = _STALE
    if decision != "unchanged":
        set_alias(version, CHALLENGER)
    last = next(reversed(promotions(store, version.model)), None)
    if last and decision != "promoted" and _same(last, decision, version, verdict):
        return last
    record = record_promotion(
        store,
        version.model,
        decision,
        version.version,
        version.digest,
        champion.version if champion and decision == "promoted" else None,
        reason,
        _evidence(verdict, lineage),
    )
    if decision == "promoted":
        set_alias(version, CHAMPION)
    return record


def _same(last: Promotion, decision: Decision, version: Version, verdict: Verdict) -> bool:
    told = (last.decision, last.version, last.evidence.get("evaluation"))
    return told == (decision, version.version, verdict.digest)


def _evidence(verdict: Verdict, lineage: list[Bundle]) -> dict[str, Any]:
    return {
        "evaluation": verdict.digest,
        "candidate": verdict.winner,
        "checks": verdict.body["checks"],
        "metrics": verdict.winner_row["metrics"],
        "champion": verdict.body["champion"],
        "datasets": dataset_ids(lineage),
    }


def dataset_ids(lineage: list[Bundle]) -> dict[str, str]:
    """The datasets' ids by the step that made them."""
    return {bundle.manifest.producer.step: bundle.id for bundle in lineage}
