"""Sluice's own problems, made as anybody's are: classes, numbers and counts."""

import numpy as np

from sluice.problems.candidate_names import HEURISTIC, LAST_VALUE, MEAN, MEDIAN, RANDOM, ZERO_RULE
from sluice.problems.losses import LOG_LOSS, POISSON, SQUARED
from sluice.problems.metrics import Labels
from sluice.problems.problem import Problem


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
    baselines=(MEAN, HEURISTIC),  # a median or a last count of 0 says that nothing can ever happen
)
