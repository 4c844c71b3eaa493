"""Where a registered model came from: data, sample, split, parameters, code, run, and who decided about it.

Everything is read from what the steps left behind: the registry's tags, the manifests in the store, back through their
parents, and the promotion records. What of these was changed since, or contradicts the rest, is not shown as a fact: it
is refused by name.
"""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from sluice.artifacts.code_state import changes_key
from sluice.artifacts.provenance import Origin, ancestry, origin
from sluice.core.errors import BadInput
from sluice.registry.champions import settled
from sluice.registry.evidence import check_evidence
from sluice.registry.promotions import CROWNING, Promotion
from sluice.registry.versions import Version
from sluice.registry.versions import find_version as find_version
from sluice.storage.locations import default_store
from sluice.storage.stores import Store


@dataclass(frozen=True)
class ModelFacts:
    """The registered version.

    Attributes:
        name: The registered model.
        version: Its number.
        aliases: The aliases that point to it now.
        digest: Its model digest.
        candidate: Which candidate it was in training.
        registered: UTC, ISO 8601.
        mlflow_run: The MLflow run that holds it.
        evaluation: The digest of the evaluation that it was registered on.
        commit: Of the code that registered it, with `+dirty` when files differed from it.
        changes: Where the patch with what differed is kept, or empty.
        environment: Digest of the packages that were installed then.
        pipeline: The pipeline's name, or empty.
        run: The pipeline run, or empty.
    """

    name: str
    version: str
    aliases: tuple[str, ...]
    digest: str
    candidate: str
    registered: str
    mlflow_run: str
    evaluation: str
    commit: str
    changes: str
    environment: str
    pipeline: str
    run: str


@dataclass(frozen=True)
class Lineage:
    """The answer.

    Attributes:
        model: The version.
        origins: Every dataset and the models bundle behind it, parents before children.
        decisions: The records about this version, oldest first.
        replaced: The version that it replaced as champion, or None.
        replaced_by: The version that replaced it, or None.
    """

    model: ModelFacts
    origins: tuple[Origin, ...]
    decisions: tuple[Promotion, ...]
    replaced: str | None
    replaced_by: str | None

    def to_json(self) -> dict[str, Any]:
        """As JSON values; field by field what the attributes say."""
        return asdict(self)


def lineage(reference: str, store: Store | None = None) -> Lineage:
    """Trace a registered model back to the lake.

    Args:
        reference: `MODEL` (its champion), `MODEL@alias` or `MODEL/version`.
        store: Where manifests and records are; by default the steps' own.

    Raises:
        BadInput: The model, alias or version is unknown (the message names the known ones), it was not registered by
            Sluice, a manifest, tag or record is missing or was changed, or the champion is not the one of the records.
        EnvironmentFault: The registry or the store is down.
    """
    version = find_version(reference)
    store = store or default_store()
    models = version.tags.get("sluice.models")
    if not models:
        raise BadInput(f"{version.model}/{version.version} was not registered by Sluice: it names no datasets")
    records = settled(store, version.model).chain.records
    own = tuple(record for record in records if (record.version, record.digest) == (version.version, version.digest))
    bundles = ancestry(store, models)
    check_evidence(store, version, bundles, own)
    crowned = [record for record in reversed(records) if record.decision in CROWNING]
    successor = next((record.version for record in crowned if record.replaced == version.version), None)
    return Lineage(
        model=_facts(version, store),
        origins=tuple(origin(bundle) for bundle in bundles),
        decisions=own,
        replaced=next((record.replaced for record in crowned if record in own), None),
        replaced_by=successor if own else None,
    )


def _facts(version: Version, store: Store) -> ModelFacts:
    tags = version.tags
    return ModelFacts(
        name=version.model,
        version=version.version,
        aliases=version.aliases,
        digest=version.digest,
        candidate=tags.get("sluice.candidate", ""),
        registered=datetime.fromtimestamp(version.created / 1000, UTC).isoformat(timespec="seconds"),
        mlflow_run=version.run,
        evaluation=tags.get("sluice.evaluation", ""),
        commit=tags.get("sluice.commit", ""),
        changes=f"{store.uri}/{changes_key(tags['sluice.changes'])}" if tags.get("sluice.changes") else "",
        environment=tags.get("sluice.environment", ""),
        pipeline=tags.get("sluice.pipeline", ""),
        run=tags.get("sluice.run", ""),
    )
