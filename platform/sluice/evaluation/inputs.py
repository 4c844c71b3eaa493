"""What evaluation reads: the validation and test rows, and what every candidate says of them."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from sluice.artifacts.bundles import local_copy, open_bundle
from sluice.artifacts.populations import Population, population_of
from sluice.core.progress import progress
from sluice.engine.datasets import read_dataset
from sluice.engine.row_counts import reconcile
from sluice.evaluation.candidates import (
    PLAIN,
    TEST,
    VALIDATION,
    JudgedModel,
    Measures,
    Said,
    labels_of,
    predict_all,
    predictions,
    read_candidates,
    thresholds_of,
)
from sluice.evaluation.designs import Design, design_of
from sluice.evaluation.folds import Fold, OutOfFold, out_of_fold, read_folds
from sluice.modeling.model_digests import model_digest
from sluice.modeling.model_files import Threshold
from sluice.problems.metrics import Metric, metrics_of, near_zero
from sluice.problems.task import Task, task_of
from sluice.problems.weighted_metrics import Floats, Labels
from sluice.sampling.folds import Folds, folds_of


@dataclass(frozen=True)
class Inputs:
    """Rows, candidates and scores.

    Attributes:
        task: What is learned.
        ids: The ids of the split dataset and of the models bundle.
        candidates: Simplest first, baselines among them.
        digests: Their model digests by name.
        frames: The validation and test rows by table.
        labels: Their class codes or numbers by table.
        scores: The candidates' probabilities by table and name, shape (rows, classes), or numbers, shape (rows,).
        thresholds: Where each candidate's positive class begins, by name.
        designs: The rows' weights and clusters by table.
        population: What the rows were sampled from.
        overlap: What `split` warned of: groups or copies that stand in several parts.
        every: All rows, the training rows among them: label, slice columns, and what `every_design` was read from.
        every_design: Their weights and clusters.
        measures: What is measured beside what any task has.
        folds: How the rows were divided into folds; None where they were not. The test rows are then all rows, and the
            scores of each row those of models that were fitted without its fold.
        in_folds: What the models of each fold say.
    """

    task: Task
    ids: dict[str, str]
    candidates: list[JudgedModel]
    digests: dict[str, str]
    frames: dict[str, pd.DataFrame]
    labels: dict[str, Labels]
    scores: dict[str, dict[str, Floats]]
    thresholds: dict[str, Threshold | None]
    designs: dict[str, Design]
    population: Population
    overlap: tuple[str, ...]
    every: pd.DataFrame
    every_design: Design
    measures: Measures = PLAIN
    folds: Folds | None = None
    in_folds: tuple[Fold, ...] = ()

    def predictions(self, table: str) -> dict[str, Said]:
        """What every candidate says of a table's rows."""
        scores = self.scores[table]
        return {name: self.said(table, name, OutOfFold(said, self._bars(table, name))) for name, said in scores.items()}

    def said(self, table: str, name: str, found: OutOfFold) -> Said:
        """What was said of a table's rows, under a candidate's name."""
        return predictions(self.labels[table], found.scores, self.thresholds[name], self.measures, found.bars)

    def stopping(self, fold: Fold) -> dict[str, Said]:
        """What every candidate of a fold says of the rows that it stopped by."""
        labels = self.labels[TEST][fold.stopping]
        return {
            name: predictions(labels, said, fold.thresholds[name], self.measures)
            for name, said in fold.validation.items()
        }

    def _bars(self, table: str, name: str) -> Floats | None:
        folds = self.in_folds if table == TEST else ()
        return out_of_fold(folds, [name] * len(folds)).bars if folds else None

    def scores_by_digest(self) -> dict[str, dict[str, Floats]]:
        """The candidates' scores by model digest and table."""
        return {
            digest: {table: scores[name] for table, scores in self.scores.items()}
            for name, digest in self.digests.items()
        }


def read_inputs(splits: str, models: str, own: tuple[Metric, ...] = (), row_loss: Metric | None = None) -> Inputs:
    """Read the rows and let every candidate judge them.

    Args:
        splits: The address of the split dataset.
        models: The address of the models bundle.
        own: A project's own metrics.
        row_loss: The one of them that is the mean of the rows' losses, where it is not the form's.

    Raises:
        BadInput: A dataset or model was changed, or rows of one class only are left to judge on.
        EnvironmentFault: The store is down.
    """
    with read_dataset(splits) as (dataset, tables):
        task = task_of(dataset)
        frames = {name: tables[name].to_pandas() for name in (VALIDATION, TEST)}
        designed = [name for name in (task.cluster, task.time, task.weight) if name]
        columns = list(dict.fromkeys([task.label, *task.slices, *designed]))
        population = population_of(dataset)
        overlap = tuple(dataset.manifest.notes.get("overlap", {}).get("warnings", ()))
        for name, frame in frames.items():
            reconcile(f"part {name!r} of {splits}", dataset.manifest.tables[name].rows, {name: len(frame)})
        folds = folds_of(dataset)
        once = [tables[TEST]] if folds else list(tables.values())  # of folds, the test rows are all rows
        every = pd.concat([table.select(columns).to_pandas() for table in once], ignore_index=True)
    labels = {name: labels_of(frame, task, name) for name, frame in frames.items()}
    ratios = task.regression and not near_zero(np.concatenate(list(labels.values())))
    known = metrics_of(task.kind, own)
    measures = Measures(ratios, tuple(metric for metric in own if metric.name in known), row_loss)
    bundle = open_bundle(models, "model")
    with local_copy(bundle) as folder:
        candidates = read_candidates(folder, models)
        rows = f"{len(frames[TEST]):,} {'rows, out of fold' if folds else 'test rows'}"
        progress(f"judging {len(candidates)} models on {rows}")
        whole = {VALIDATION: frames[VALIDATION]} if folds else frames
        scores = predict_all(folder, candidates, whole, task)
        in_folds = read_folds(folder, folds, candidates, frames[TEST], task) if folds else ()
        if in_folds:
            names = [candidate.name for candidate in candidates]
            scores[TEST] = {name: out_of_fold(in_folds, [name] * len(in_folds)).scores for name in names}
        digests = {candidate.name: model_digest(folder / candidate.name) for candidate in candidates}
        thresholds = thresholds_of(folder, candidates)
    designs = {name: design_of(frame, task) for name, frame in frames.items()}
    if folds:
        designs[TEST] = replace(designs[TEST], widening=folds.widening)
    ids = {"splits": dataset.id, "models": bundle.id}
    return Inputs(
        task=task,
        ids=ids,
        candidates=candidates,
        digests=digests,
        frames=frames,
        labels=labels,
        scores=scores,
        thresholds=thresholds,
        designs=designs,
        population=population,
        overlap=overlap,
        every=every,
        every_design=design_of(every, task),
        measures=measures,
        folds=folds,
        in_folds=in_folds,
    )
