"""Sluice's own problems, made as anybody's are: classes, numbers and counts."""

import numpy as np

from sluice.problems.candidate_names import HEURISTIC, LAST_VALUE, MEAN, MEDIAN, RANDOM, ZERO_RULE
from sluice.problems.losses import LOG_LOSS, POISSON, SQUARED
from sluice.problems.metrics import Floats, Labels, Metric
from sluice.problems.problem import Problem
from sluice.problems.task import REGRESSION

LEAST_FORECAST = 1e-9
"""A forecast of no events at all counts as so many: by the deviance itself one event would then cost infinitely much,
and no interval could be told. As the log loss has a least probability."""


def poisson_deviances(label: Labels, forecast: Floats) -> Floats:
    """Each row's deviance of a Poisson distribution, shape (rows,): 2 (y log(y / m) - y + m) for y counted and m said.

    P. McCullagh and J. A. Nelder, *Generalized Linear Models*, 1989, section 2.3; scikit-learn's mean_poisson_deviance
    is the reference in the tests.
    """
    said = np.maximum(forecast, LEAST_FORECAST)
    logs = np.log(np.where(label > 0, label, said) / said)  # 0 where the label is 0: y log y goes to 0 there
    return np.asarray(2 * (label * logs - label + said))


def whole_from_zero(labels: Labels) -> Labels:
    """Whether each label is a count."""
    return np.asarray((labels >= 0) & (labels == np.floor(labels)))


BINARY_PROBLEM = Problem(
    "binary",
    loss=LOG_LOSS,
    primary="log_loss",
    stops_by="log_loss",
    baselines=(RANDOM, ZERO_RULE, HEURISTIC),
)
MULTICLASS_PROBLEM = Problem(
    "multiclass",
    loss=LOG_LOSS,
    primary="log_loss",
    stops_by="log_loss",
    baselines=(RANDOM, ZERO_RULE, HEURISTIC),
)
REGRESSION_PROBLEM = Problem(
    "regression",
    loss=SQUARED,
    primary="rmse",
    stops_by="rmse",
    baselines=(MEAN, MEDIAN, HEURISTIC, LAST_VALUE),
)
COUNTS = Problem(
    "regression",
    takes=whole_from_zero,
    rule="a whole number from 0 on",
    loss=POISSON,
    metrics=(
        Metric(
            "poisson_deviance",
            "Poisson deviance",
            "less",
            (REGRESSION,),
            rows=poisson_deviances,
            in_label_units=True,  # twice the counts have twice the deviance
        ),
    ),
    primary="poisson_deviance",
    baselines=(MEAN, HEURISTIC),  # a median or a last count of 0 says that nothing can ever happen
)
