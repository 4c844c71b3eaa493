"""How often noise alone would promote a model: one recipe, trained again and again, against itself.

    python tests/benchmarks/gate_noise.py ADDRESS_OF_A_SPLIT_DATASET [TRAININGS]

Each training has rows drawn anew from the training part and another seed. Every pair meets as challenger and champion
on the test part; the table says how many challengers would be promoted if rows were taken for independent, and as the
gate does it, by blocks of days and with a least effect.
"""

import itertools
import sys
from collections.abc import Iterator, Mapping

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

from sluice.engine.datasets import read_dataset
from sluice.evaluation.bootstrap import Resamples, resample_weights
from sluice.evaluation.champion import NAME, Champion
from sluice.evaluation.designs import Design, design_of, independent
from sluice.evaluation.evaluation_settings import GateLimits
from sluice.evaluation.evidence import evidence_of
from sluice.evaluation.gate import Duel, check_champion
from sluice.features.encoding import learn_encoder
from sluice.problems.task import task_of
from sluice.problems.weighted_metrics import Predictions

TREES, LEAF, RESAMPLES = 60, 137, 400


def trainings(address: str, count: int) -> tuple[dict[str, Predictions], Design]:
    """What each training says of the test rows, and their design."""
    with read_dataset(address) as (bundle, tables):
        task = task_of(bundle)
        train, test = (tables[name].to_pandas() for name in ("train", "test"))
    encoder = learn_encoder(train, task)
    rows, labels = encoder.matrix(train), train[task.label].to_numpy(np.int64)
    judged, truth = encoder.matrix(test), test[task.label].to_numpy(np.int64)
    models = {}
    for seed in range(count):
        drawn = np.random.default_rng(seed).integers(0, len(labels), len(labels))
        trees = HistGradientBoostingClassifier(
            max_iter=TREES,
            min_samples_leaf=LEAF,
            l2_regularization=10.0,
            max_features=0.3,
            categorical_features=list(range(len(encoder.vocabularies))),
            early_stopping=False,
            random_state=seed,
        )
        models[str(seed)] = Predictions(truth, trees.fit(rows[drawn], labels[drawn]).predict_proba(judged))
    design = design_of(test, task)
    return models, design.with_block(model.log_losses for model in models.values())


def measured(models: Mapping[str, Predictions], design: Design) -> Resamples:
    """The log losses alone, resampled as the gate does it."""
    drawn: dict[str, list[np.ndarray]] = {name: [] for name in models}
    for weights in resample_weights(design, RESAMPLES, 1):
        for name, model in models.items():
            drawn[name].append(weights.T @ model.log_losses / weights.sum(axis=0))
    return Resamples({n: {"log_loss": np.concatenate(v)} for n, v in drawn.items()}, design.units)


def promoted(models: Mapping[str, Predictions], design: Design, least_effect: float) -> Iterator[bool]:
    """For each ordered pair whether the first would replace the second, at the first look."""
    known = measured(models, design)
    some = next(iter(models))
    evidence = evidence_of(models[some], design, known, some)
    champion = Champion("1", "digest", {}, "", np.ones(1, bool))
    for winner, rival in itertools.permutations(models, 2):
        pair = Resamples({"win": known.values[winner], NAME: known.values[rival]}, known.units)
        check = check_champion(Duel(pair, evidence), "win", champion, "other", GateLimits(least_effect=least_effect), 1)
        yield check.passed


def main() -> None:
    """Print the table."""
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 16
    models, design = trainings(sys.argv[1], count)
    spread = np.std([model.log_losses.mean() for model in models.values()])
    print(f"{count} trainings; standard deviation of their log losses {spread:.4f}")
    ways = ((independent(len(design.weights)), "rows"), (design, f"blocks of {design.block} {design.name}s"))
    for (way, name), effect in itertools.product(ways, (0.0, 0.001)):
        found = list(promoted(models, way, effect))
        print(f"{name}, least effect {effect:g}: {sum(found)} of {len(found)} promoted, {np.mean(found):.1%}")


if __name__ == "__main__":
    main()
