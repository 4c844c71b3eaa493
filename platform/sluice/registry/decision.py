"""The decision about the alias `champion`: written down first, then carried out."""

from functools import partial
from typing import Any

from sluice.artifacts.bundles import Bundle
from sluice.registry.champions import announce, carry_out
from sluice.registry.evaluation_verdict import EvaluationVerdict
from sluice.registry.evidence import manifest_digests, tags_digest
from sluice.registry.promotions import CROWNING, Chain, Decision, Promotion, Ruling, promotion_chain, record_promotion
from sluice.registry.versions import CHALLENGER, Version, set_alias
from sluice.storage.stores import Store

_DECISIONS: dict[str, Decision] = {
    "promote": "promoted",
    "refuse": "refused",
    "undecided": "undecided",
    "unchanged": "unchanged",
}
_WAITS = "The gate let it pass; it waits for a person's approval."
_STALE = "The champion changed while this evaluation was made; run the pipeline again to compare with the new one."


def decide(
    store: Store, verdict: EvaluationVerdict, version: Version, lineage: list[Bundle], *, waits: bool = False
) -> Promotion:
    """Write the record, then move the alias; a record that would only repeat the last one is not written.

    Of several that decide at once the records say who was first: the others are judged against its champion.

    Args:
        store: Where the records are.
        verdict: What evaluation found.
        version: The version to decide about.
        lineage: The datasets and the models bundle behind it.
        waits: Whether a person has to approve what the gate let pass.

    Returns:
        The record of this decision.
    """
    champion = promotion_chain(store, version.model).champion
    if not (champion and champion.digest == version.digest):
        set_alias(version.model, CHALLENGER, version.version)
    evidence = _evidence(verdict, version, lineage)
    record = record_promotion(
        store,
        version.model,
        lambda chain: judge(chain, verdict, version, evidence, waits=waits),
        partial(announce, version.model),
    )
    carry_out(store, version.model)
    return record


def judge(
    chain: Chain, verdict: EvaluationVerdict, version: Version, evidence: dict[str, Any], *, waits: bool = False
) -> Ruling | Promotion:
    """What follows from an evaluation where the records so far are these: a decision, or the record that has it."""
    champion, decision, reason = chain.champion, _DECISIONS[verdict.body["decision"]], str(verdict.body["reason"])
    if champion and champion.digest == version.digest:
        if _told(champion) == (champion.decision, version.version, verdict.digest):
            return champion  # this very decision: an earlier try, or the same run twice
        decision = "unchanged"
    elif (champion.digest if champion else "") != verdict.champion_digest:
        decision, reason = "refused", _STALE
    elif decision == "promoted" and (taken := taken_back(chain, version.digest)):
        decision, reason = "refused", taken
    elif decision == "promoted" and waits:
        decision, reason = "waits", f"{reason} {_WAITS}"
    if chain.records and _told(chain.records[-1]) == (decision, version.version, verdict.digest):
        return chain.records[-1]
    return Ruling(decision, version.version, version.digest, reason, evidence)


def taken_back(chain: Chain, digest: str) -> str:
    """Why a model that a person has taken back is not promoted again by a machine; empty where nobody has."""
    about = (r for r in reversed(chain.records) if r.decision in (*CROWNING, "withdrawn"))
    last = next((r for r in about if digest in (r.digest, (r.champion or {}).get("digest"))), None)
    reigns = last is not None and last.decision in CROWNING and last.digest == digest
    if last is None or reigns or last.decision not in ("restored", "withdrawn"):
        return ""
    return (
        f"A person took this model back (record {last.number}: {last.reason}); "
        "`sluice promote MODEL/VERSION --reason TEXT` makes it champion again."
    )


def _told(record: Promotion) -> tuple[str, str, str]:
    return record.decision, record.version, str(record.evidence.get("evaluation"))


def _evidence(verdict: EvaluationVerdict, version: Version, lineage: list[Bundle]) -> dict[str, Any]:
    return {
        "evaluation": verdict.digest,
        "candidate": verdict.winner,
        "checks": verdict.body["checks"],
        "metrics": verdict.winner_row["metrics"],
        "champion": verdict.body["champion"],
        "datasets": dataset_ids(lineage),
        "manifests": manifest_digests(lineage),
        "tags": tags_digest(version.tags),
    }


def dataset_ids(lineage: list[Bundle]) -> dict[str, str]:
    """The datasets' ids by the step that made them."""
    return {bundle.manifest.producer.step: bundle.id for bundle in lineage if bundle.manifest.kind == "dataset"}
