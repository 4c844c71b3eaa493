"""What a problem is: which labels it takes, what its forecasts look like, how models of it are trained and judged.

A project's own stands in a file of the project and is named `counting.py:visits`; an installed package's is an entry
point of the group `sluice.problems`:

    from sluice.problems.problem import Problem

    visits = Problem(
        like="regression",
        takes=lambda label: (label >= 0) & (label % 1 == 0),
        rule="a whole number from 0 on",
        loss="poisson",
        baselines=("mean", "heuristic"),
    )

and in the project: `label: {column: n, kind: counting.py:visits}`. What it leaves open is that of the problem that it
is like. Sluice's own stand in `sluice.problems.built_in`, made in the same way.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

from sluice.problems.candidate_names import (
    BASELINE_BY_NAME,
    BASELINES,
    HEURISTIC,
    LAST_VALUE,
    MEAN,
    MEDIAN,
    RANDOM,
    ZERO_RULE,
)
from sluice.problems.losses import OF_CLASSES, OF_NUMBERS, Loss
from sluice.problems.metrics import Metric
from sluice.problems.task import REGRESSION

Form = Literal["binary", "multiclass", "regression"]
FORMS: tuple[str, ...] = get_args(Form)
_BASELINES = {"classes": (RANDOM, ZERO_RULE, HEURISTIC), "numbers": (MEAN, MEDIAN, HEURISTIC, LAST_VALUE)}
_LONGEST = 200  # characters of a rule, which stands in an error's one line


@dataclass(frozen=True)
class Problem:
    """A problem; what is left out is that of the problem that it is like.

    Attributes:
        like: The form of forecasts: `binary` and `multiclass`, probabilities of classes, shape (rows, classes);
            `regression`, numbers, shape (rows,). A problem of classes is binary where the label has two.
        takes: Whether each label may be one, shape (labels,), of labels as the data have them: float64 without missing
            ones, or the different values of a class as an array of objects. None takes all that the form takes.
        rule: What it takes, in words that end the sentence "it takes …": `a whole number from 0 on`.
        loss: What Sluice's families make small; see `sluice.problems.losses.Loss`. A family that cannot is left out,
            and refused where it is named.
        level: That of the loss `quantile`.
        metrics: Metrics beside those of the form.
        primary: The metric that models are chosen and judged by, where the project names none; left out: the loss's own
            (RMSE, MAE, the pinball loss at the level, the Poisson or gamma deviance, the log loss).
        stops_by: The metric that early stopping goes by, likewise; left out: the primary one.
        baselines: What a model must beat, of `mean`, `median`, `heuristic` and `last-value`, or of `random`,
            `zero-rule` and `heuristic`; some need a feature or a group.
        candidates: What is trained where the project names none: Sluice's names and installed families'; left out: all
            that fit.
    """

    like: Form
    takes: Callable[[Any], Any] | None = None
    rule: str = ""
    loss: str = ""
    level: float = 0.5
    metrics: tuple[Metric, ...] = ()
    primary: str = ""
    stops_by: str = ""
    baselines: tuple[str, ...] = ()
    candidates: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what cannot be; the message is told with the line of the project's code."""
        if self.like not in FORMS:
            raise ValueError(f"Problem: like is {self.like!r}; use one of {', '.join(FORMS)}")
        if self.takes is not None and not callable(self.takes):
            raise ValueError(f"Problem: takes is {self.takes!r}; give a function of labels, or leave it out")
        if not isinstance(self.rule, str) or len(self.rule) > _LONGEST or (self.takes is not None and not self.rule):
            raise ValueError(
                f"Problem: rule is {str(self.rule)[:40]!r}; say in at most {_LONGEST} characters what takes takes, "
                "such as 'a whole number from 0 on'"
            )
        self._check_loss()
        for name, kind in (("metrics", Metric), *((each, str) for each in _TEXTS)):
            value = getattr(self, name)
            if not isinstance(value, tuple) or not all(isinstance(each, kind) for each in value):
                raise ValueError(f"Problem: {name} is {value!r}; give a tuple of {kind.__name__}, such as (x,)")
        self._check_names()

    def _check_loss(self) -> None:
        known = OF_NUMBERS if self.like == REGRESSION else OF_CLASSES
        if self.loss and self.loss not in known:
            raise ValueError(f"Problem: loss is {self.loss!r}; like {self.like!r} there are {', '.join(known)}")
        if not isinstance(self.level, int | float) or not 0 < self.level < 1:
            raise ValueError(f"Problem: level is {self.level!r}; give a number between 0 and 1")

    def _check_names(self) -> None:
        known = _BASELINES[self._labels]
        if wrong := [name for name in self.baselines if name not in known]:
            raise ValueError(f"Problem: baselines names {wrong[0]!r}; like {self.like!r} there are {', '.join(known)}")
        if wrong := [name for name in self.candidates if name in BASELINES]:
            raise ValueError(f"Problem: candidates names the baseline {wrong[0]!r}; it belongs to baselines")
        if wrong := [name for name in self.candidates if ":" in name]:
            others = ", ".join(name for name, baseline in BASELINE_BY_NAME.items() if not baseline)
            raise ValueError(
                f"Problem: candidates names {wrong[0]!r}, whose code would not come along; use {others} here, and the "
                "project's train.candidates for its own"
            )
        names = [metric.name for metric in self.metrics]
        if twice := [name for place, name in enumerate(names) if name in names[:place]]:
            raise ValueError(f"Problem: two of its metrics are called {twice[0]!r}; rename one")

    @property
    def _labels(self) -> str:
        return "numbers" if self.like == REGRESSION else "classes"

    @property
    def trained_by(self) -> Loss:
        """What families make small."""
        return Loss(self.loss, self.level)


_TEXTS = ("baselines", "candidates")
