"""What guards the facts that no content address covers: commit, environment, run, time, and a version's tags.

A record of promotions names the SHA-256 of every manifest behind the version and that of the version's tags; the
version's tags name the manifests too. The records are chained, and the registry keeps the chain's head
(`sluice.registry.champions`): whoever changes one of them has to change all, in two places.
"""

import json
from collections.abc import Iterable, Mapping

from sluice.artifacts.bundles import Bundle
from sluice.core.digests import sha256_json
from sluice.core.errors import BadInput
from sluice.registry.promotions import Promotion, record_address
from sluice.registry.versions import Version
from sluice.storage.stores import Store

MANIFESTS = "sluice.manifests"
_OURS = "sluice."


def manifest_digests(lineage: Iterable[Bundle]) -> dict[str, str]:
    """SHA-256 of each `manifest.json` by the folder's id."""
    return {bundle.id: bundle.manifest_digest for bundle in lineage}


def tags_digest(tags: Mapping[str, str]) -> str:
    """SHA-256 over a version's tags that Sluice sets."""
    return sha256_json({key: value for key, value in tags.items() if key.startswith(_OURS)})


def check_evidence(store: Store, version: Version, lineage: Iterable[Bundle], records: Iterable[Promotion]) -> None:
    """Hold what the store and the registry show of a version against what was recorded of it.

    Args:
        store: Where the records are, for the message.
        version: As the registry has it now.
        lineage: The folders behind it, as the store has them now.
        records: The decisions about it.

    Raises:
        BadInput: A manifest or a tag was changed since; the message names it.
    """
    bundles = list(lineage)
    tag = f"the tag {MANIFESTS} of {version.model}/{version.version}"
    if MANIFESTS in version.tags:
        _check_manifests(bundles, _read_tag(version.tags[MANIFESTS], tag), tag)
    for record in records:
        where = record_address(store, record.model, record.number)
        recorded = record.evidence.get("tags")
        if recorded and recorded != tags_digest(version.tags):
            raise BadInput(
                f"{version.model}/{version.version}: its tags in the registry are not those that {where} was made on: "
                "a tag sluice.… was changed; set it back, or restore the registry from a copy"
            )
        _check_manifests(bundles, record.evidence.get("manifests") or {}, where)


def _check_manifests(bundles: list[Bundle], recorded: Mapping[str, str], where: str) -> None:
    for bundle in bundles:
        if bundle.id in recorded and recorded[bundle.id] != bundle.manifest_digest:
            raise BadInput(
                f"{bundle.uri}/manifest.json is not the one that {where} names: commit, run or time in it were "
                "changed, or the folder was removed and made again; restore it from a copy"
            )


def _read_tag(text: str, where: str) -> dict[str, str]:
    try:
        return dict(json.loads(text))
    except (ValueError, TypeError):
        raise BadInput(f"{where} is no list of digests: it was changed; restore the registry from a copy") from None
