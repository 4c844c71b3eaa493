"""The step itself: the winner becomes a version, `challenger`, and through the gate `champion`.

The order makes a crash harmless: files, version with tags, alias `challenger`, promotion record, alias `champion`.
The next run finds the version by its digest and goes on from there. Of several that register the same files at once
the first version counts, and the others remove theirs.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from sluice.artifacts.bundles import Bundle, local_copy, open_bundle
from sluice.artifacts.producer import producer
from sluice.artifacts.provenance import ancestry
from sluice.core.addresses import shown
from sluice.core.progress import progress
from sluice.engine.datasets import read_dataset
from sluice.exporting.publishing import JudgedModel, Offer, offer
from sluice.exporting.served_files import Source
from sluice.modeling.model_digests import check_digest
from sluice.modeling.model_files import Threshold, read_threshold
from sluice.parameters.register import APPROVAL, EACH, GATE, Parameters
from sluice.problems.task import Task, task_of
from sluice.registry.champions import standing
from sluice.registry.decision import dataset_ids, decide
from sluice.registry.evaluation_verdict import EvaluationVerdict, read_verdict
from sluice.registry.evidence import MANIFESTS, manifest_digests
from sluice.registry.mlflow_access import tracking_uri
from sluice.registry.model_card import model_card
from sluice.registry.model_logging import Registration, add_version, log_numbers, log_text
from sluice.registry.promotions import Promotion
from sluice.registry.served import SERVED, SERVED_HOW
from sluice.registry.tracking import log_dataset, tracked_run
from sluice.registry.versions import Version, remove_version, version_by_digest, version_by_number
from sluice.storage.locations import default_store
from sluice.storage.stores import Store

_EXAMPLE_ROWS = 100


@dataclass(frozen=True)
class Registered:
    """What register did.

    Attributes:
        version: The version, with its aliases afterwards.
        record: The decision's record.
        card: The model card, Markdown.
        result: The JSON result; the README says what it holds.
    """

    version: Version
    record: Promotion
    card: str
    result: dict[str, Any]


def run(
    splits: str,
    models: str,
    evaluation: Path,
    *,
    result: Path,
    card: Path,
    promotion: str = GATE,
    served: str = EACH,
) -> Registered:
    """Register, and write the JSON result and the model card; see `register`."""
    done = register(splits, models, evaluation, promotion, served)
    for path, text in ((result, json.dumps(done.result, indent=1, ensure_ascii=False)), (card, done.card)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    progress(f"{done.record.decision}: {done.record.reason}")
    return done


def register(splits: str, models: str, evaluation: Path, promotion: str = GATE, served: str = EACH) -> Registered:
    """Register the winner of an evaluation, decide about the alias `champion`, and record it.

    Args:
        splits: The address of the split dataset.
        models: The address of the models bundle.
        evaluation: The evaluation's JSON file.
        promotion: `gate`, or `approval` for a winner that has to wait for a person.
        served: `each`, or `passed` for no folder to serve of a winner that the gate refused.

    Raises:
        BadInput: `promotion` or `served` is another word, the evaluation is of other data or models, or files were
            changed.
        EnvironmentFault: The store or MLflow is down. What was done so far stays valid, and running again goes on.
    """
    given = Parameters.checked({"promotion": promotion, "served": served})
    data, bundle = open_bundle(splits, "dataset"), open_bundle(models, "model")
    verdict, task = read_verdict(evaluation, data, bundle), task_of(data)
    store = default_store()
    lineage = ancestry(store, data.id)
    standing(store, task.name)  # records or an alias that were tampered with must show before anything is registered
    with local_copy(bundle) as folder:
        files, digest = folder / verdict.winner, str(verdict.body["winner_digest"])
        check_digest(files, digest, f"{bundle.uri}/{verdict.winner}")
        threshold, version = read_threshold(files), version_by_digest(task.name, digest)
        if version is None:
            source = Source(models=bundle.id, candidate=verdict.winner)
            judged = JudgedModel(task.name, digest, files, data, [*lineage, bundle], source)
            offered = _offer(store, judged, wanted=given.served == EACH or verdict.passed)
            progress(f"served by {offered.words}" if offered.id else f"no served folder: {offered.words}")
        else:
            offered = Offer(version.tags.get(SERVED, ""), version.tags.get(SERVED_HOW, ""))
        card = model_card(task, verdict, lineage, files, offered)
        if version is None:
            version = _first(_new_version(task, verdict, data, bundle, lineage, card, files, offered))
            progress(f"registered {task.name} version {version.version}")
    record = decide(store, verdict, version, [*lineage, bundle], waits=given.promotion == APPROVAL)
    version = version_by_number(task.name, version.version) or version
    return Registered(version, record, card, _result(task, verdict, version, record, lineage, threshold, offered))


def _offer(store: Store, judged: JudgedModel, *, wanted: bool) -> Offer:
    """A folder to serve, which takes longer to make than all else here; or why there is none."""
    return offer(store, judged) if wanted else Offer("", _LATER)


_LATER = "the gate refused the version, and `served: passed` leaves the folder to who serves or exports it"


def _new_version(
    task: Task,
    verdict: EvaluationVerdict,
    data: Bundle,
    bundle: Bundle,
    lineage: list[Bundle],
    card: str,
    files: Path,
    served: Offer,
) -> Version:
    made, row = producer("register", {}), verdict.winner_row
    tags = {
        "sluice.candidate": verdict.winner,
        "sluice.problem": task.posed,
        "sluice.models": bundle.id,
        "sluice.splits": data.id,
        "sluice.datasets": json.dumps(dataset_ids(lineage)),
        MANIFESTS: json.dumps(manifest_digests([*lineage, bundle])),
        "sluice.evaluation": verdict.digest,
        SERVED_HOW: served.words,
        **({SERVED: served.id} if served.id else {}),
        "sluice.commit": made.commit,
        **({"sluice.changes": made.changes} if made.changes else {}),
        "sluice.environment": made.environment,
        "sluice.pipeline": made.pipeline,
        "sluice.run": made.run,
    }
    digest, reason = str(verdict.body["winner_digest"]), str(verdict.body["reason"])
    with tracked_run("register"):
        log_dataset(data, "training")
        log_numbers(row["parameters"], row["metrics"])
        rows = _some_rows(data)
        log_text(card, "model-card.md")
        return add_version(Registration(task, files, digest, rows, tags, reason))


def _first(made: Version) -> Version:
    """The first version with the same files: where another run registered them at the same moment, ours is removed."""
    first = version_by_digest(made.model, made.digest) or made
    if int(first.version) < int(made.version):
        remove_version(made)
        return first
    return made


def _result(
    task: Task,
    verdict: EvaluationVerdict,
    version: Version,
    record: Promotion,
    lineage: list[Bundle],
    threshold: Threshold | None,
    served: Offer,
) -> dict[str, Any]:
    return {
        "task": task.name,
        "question": task.question,
        "pipeline": producer("register", {}).pipeline,
        "problem": verdict.record.problem,
        **({"problem_name": task.problem_name} if task.problem_name else {}),
        "metric": verdict.record.metric.model_dump(),
        "own_metrics": [metric.model_dump() for metric in verdict.record.own_metrics],
        "candidates": verdict.table(),
        "winner": verdict.winner,
        "threshold": asdict(threshold) if threshold else None,
        "population": verdict.body.get("population"),
        "folds": verdict.body.get("folds"),
        "decision": record.decision,
        "reason": record.reason,
        "checks": verdict.body["checks"],
        "version": version.version,
        "aliases": list(version.aliases),
        "replaced": record.replaced,
        "record": record.number,
        "model_digest": version.digest,
        "evaluation_digest": verdict.digest,
        "mlflow": {"run": version.run, "uri": shown(tracking_uri())},
        "datasets": dataset_ids(lineage),
        "models": verdict.body["datasets"]["models"],
        "served": asdict(served),
    }


def _some_rows(data: Bundle) -> pd.DataFrame:
    with read_dataset(data.uri) as (_, tables):
        rows: pd.DataFrame = tables["train"].limit(_EXAMPLE_ROWS).to_pandas()
        return rows
