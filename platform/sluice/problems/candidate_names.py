"""The names of what can be trained, and which of them only set the bar: known without importing any of it."""

RANDOM, ZERO_RULE, HEURISTIC = "random", "zero-rule", "heuristic"
MEAN, MEDIAN, LAST_VALUE = "mean", "median", "last-value"
LOGISTIC, LINEAR, TREES = "logistic-regression", "linear-regression", "gradient-boosted-trees"
EMBEDDINGS, CONVOLUTIONS = "embedding-network", "convolutional-network"
BASELINES = (RANDOM, ZERO_RULE, MEAN, MEDIAN, HEURISTIC, LAST_VALUE)
BASELINE_BY_NAME = dict.fromkeys(BASELINES, True) | dict.fromkeys(
    (LOGISTIC, LINEAR, TREES, EMBEDDINGS, CONVOLUTIONS), False
)
"""Whether it only sets the bar, by the name of every candidate, whatever task it fits; the simplest of a kind first."""
