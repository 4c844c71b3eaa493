"""The names of what can be trained, and which of them only set the bar: known without importing any of it."""

RANDOM, ZERO_RULE, HEURISTIC = "random", "zero-rule", "heuristic"
MEAN, MEDIAN, LAST_VALUE = "mean", "median", "last-value"
LOGISTIC, LINEAR, TREES = "logistic-regression", "linear-regression", "gradient-boosted-trees"
EMBEDDINGS, CONVOLUTIONS = "embedding-network", "convolutional-network"
BASELINES = (RANDOM, ZERO_RULE, MEAN, MEDIAN, HEURISTIC, LAST_VALUE)
SHORT_LINEAR, SHORT_TREES, NETWORK = "linear", "trees", "network"
SHORT_NAMES = (SHORT_LINEAR, SHORT_TREES, NETWORK)
"""For people: each means the candidate of that kind that fits the task."""
BASELINE_BY_NAME = dict.fromkeys(BASELINES, True) | dict.fromkeys(
    (LOGISTIC, LINEAR, TREES, EMBEDDINGS, CONVOLUTIONS, *SHORT_NAMES), False
)
"""Whether it only sets the bar, by every name that a candidate can be called by, whatever task it fits."""
