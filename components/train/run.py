"""The step: read the parts, train every candidate, publish them as one bundle, and tell MLflow."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from sluice.artifacts.bundles import Bundle, publish
from sluice.artifacts.producer import producer
from sluice.core.errors import BadInput
from sluice.core.progress import progress
from sluice.features.learned_inputs import learn_inputs, row_wise_features
from sluice.features.model_inputs import write_inputs
from sluice.modeling.catalogue import Trainable, choose
from sluice.modeling.categories import pooled_values, pooled_words
from sluice.modeling.fold_training import (
    budget_words,
    folds_record,
    save_folds,
    shared_budget,
    shared_seconds,
    train_folds,
)
from sluice.modeling.model_files import save_model
from sluice.modeling.parts import Parts, check_labels, read_parts
from sluice.modeling.rounds import NoRound
from sluice.modeling.training_records import TRAINING, Trained, environment, timings, train_candidate, training_record
from sluice.modeling.training_settings import TrainingSettings
from sluice.registry.tracked_training import track
from sluice.reporting.training_page import budget_rules, count_words, curves_page
from sluice.sampling.folds import folds_of
from sluice.storage.locations import default_store

_STEP = "train"


@dataclass(frozen=True)
class TrainingResult:
    """What the step gives.

    Attributes:
        bundle: The published models.
        page: The HTML page with the learning curves.
        losses: The metric of early stopping on the validation rows, by candidate.
        metric: Its title within a sentence.
    """

    bundle: Bundle
    page: str
    losses: dict[str, float]
    metric: str = "log loss"


def run(splits: str, settings: TrainingSettings) -> TrainingResult:
    """Train baselines and candidates, simplest first, and publish them; nothing is published unless all succeed.

    Args:
        splits: The address of a dataset with the parts train and validation.
        settings: Checked parameters.

    Raises:
        BadInput: The dataset cannot be learned from, a candidate's name is unknown, or no candidate had time for a
            single round.
        EnvironmentFault: The store or MLflow failed.
    """
    with read_parts(splits) as (source, parts):
        settings = settings.for_task(parts.task)
        problem = settings.posed(parts.task)
        candidates = choose(settings.candidates, parts.task, problem)
        settings.stopping(parts.task)  # a wrong name must not wait for the first candidate
        check_labels(parts, problem, splits)
        _tell(parts)
        folds = folds_of(source)
        each = shared_budget(settings, folds)
        with shared_seconds(folds):
            trained, left_out = _train(candidates, parts, each)
            in_folds, late = train_folds(splits, folds, [entry.candidate for entry in trained], each, _train)
        trained = [entry for entry in trained if entry.candidate.name not in late]
        left_out += late
        bundle = _publish(trained, in_folds, left_out, parts, settings, source)
    track(_STEP, trained, settings.parameters(), source, bundle)
    losses = {entry.candidate.name: entry.fitted.kept.validation for entry in trained}
    rules = f"{budget_rules(settings, parts, left_out)} {budget_words(folds)}".strip()
    pooled = pooled_words(bundle.manifest.details["pooled_values"])
    return TrainingResult(
        bundle, curves_page(trained, f"{rules} {pooled}".strip()), losses, trained[0].fitted.metric.words
    )


def _train(candidates: list[Trainable], parts: Parts, settings: TrainingSettings) -> tuple[list[Trained], list[str]]:
    """The candidates trained, and the names of those of which no round ended within the budget."""
    trained: list[Trained] = []
    left_out: list[str] = []
    for candidate in candidates:
        try:
            trained.append(train_candidate(candidate, parts, settings))
        except NoRound as error:
            progress(f"left out: {error}")
            left_out.append(candidate.name)
    if left_out and all(entry.candidate.baseline for entry in trained):
        raise BadInput(
            f"seconds_per_candidate is {settings.seconds_per_candidate:g}, too little for a single round of "
            f"{', '.join(left_out)}; give more seconds, or a budget in rounds with max_rounds"
        )
    return trained, left_out


def _publish(
    trained: list[Trained],
    in_folds: list[list[Trained]],
    left_out: list[str],
    parts: Parts,
    settings: TrainingSettings,
    source: Bundle,
) -> Bundle:
    with tempfile.TemporaryDirectory(prefix="sluice-") as name:
        folder = Path(name)
        row_wise = row_wise_features(default_store(), source, parts.task)
        inputs = learn_inputs(parts.train.rows, parts.task, row_wise)
        for entry in trained:
            save_model(folder / entry.candidate.name, entry.fitted.model, parts.task, entry.threshold)
            write_inputs(folder / entry.candidate.name, inputs)
        save_folds(folder, in_folds, parts.task)
        record = training_record(trained, left_out, settings) | folds_record(in_folds)
        (folder / TRAINING).write_text(json.dumps(record, indent=1, sort_keys=True, allow_nan=False), encoding="utf-8")
        details = {
            **parts.task.details(),
            "pooled_values": pooled_values(parts),
            "rows": {"train": len(parts.train.labels), "validation": len(parts.validation.labels)},
        }
        notes = {"timings": timings(trained), "environment": environment(trained, settings.threads)}
        made_by = producer(_STEP, settings.parameters())
        return publish(default_store(), folder, "model", made_by, parents=(source.id,), details=details, notes=notes)


def _tell(parts: Parts) -> None:
    rows = f"{count_words(parts.train)} to learn from, {count_words(parts.validation)} to stop by"
    label = (
        f"label: the number {parts.task.label!r}" if parts.task.regression else f"classes: {len(parts.task.classes)}"
    )
    progress(f"{parts.task.name}: {rows}; features: {len(parts.task.features)}, {label}")
