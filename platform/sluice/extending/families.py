"""Families of models that an installed package brings; a project's own class is written `mine.py:Net` and has the same.

A family has two methods. `fit` learns and gives what it learned: a mapping of names to arrays, numbers and texts, or a
fitted estimator of scikit-learn, which Sluice keeps without a pickle. `predict` gets that back:

    [project.entry-points."sluice.families"]                 # in the package's pyproject.toml
    shares = "acme_models.shares:Shares"

    class Shares:
        def fit(self, rows, label, weight, *, seed, seconds):
            counts = np.bincount(label, weight) + 1.0
            return {"shares": counts / counts.sum()}

        def predict(self, state, rows):
            return np.tile(state["shares"], (len(rows), 1))

and in the project: `train: {candidates: [trees, shares]}`. A model remembers the package with its version, and loads
where that very version is installed.
"""

from typing import Any, Protocol

from sluice.core.extensions import Registry


class Family(Protocol):
    """What a family has; see `sluice.modeling.own_models.OwnCandidate` for the arguments."""

    def fit(self, rows: Any, label: Any, weight: Any, *, seed: int, seconds: float) -> Any:  # noqa: ANN401 - see there
        """Learn."""
        ...

    def predict(self, state: Any, rows: Any) -> Any:  # noqa: ANN401 - see there
        """Class probabilities, shape (rows, classes), or numbers, shape (rows,)."""
        ...


FAMILIES: Registry[Family] = Registry("families", Family, {}, title="candidate")
"""Those of installed packages; Sluice's own stand in `sluice.modeling.catalogue`."""
