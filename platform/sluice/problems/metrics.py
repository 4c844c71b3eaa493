"""The metrics: their names, titles and directions, in one place, and room for a project's own.

A metric is a function of labels, forecasts and weights. One that is a weighted mean over rows says so by `rows`: then
all resamples of a bootstrap are one matrix product. Any other is computed resample by resample.

A project's own stands in a file of the project and is named `mine.py:lost`; an installed package's is an entry point of
the group `sluice.metrics`:

    from sluice.problems.metrics import Metric

    def cost(label, forecast, weight):                       # arrays of shape (rows,); weight may be None
        return float(np.average(np.where(forecast > label, 2.0, 1.0) * abs(label - forecast), weights=weight))

    lost = Metric("cost", "Cost", "less", ("regression",), function=cost, in_label_units=True)
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from sluice.core.errors import BadInput
from sluice.core.extensions import Code, Registry, is_reference, near
from sluice.problems.task import BINARY, MULTICLASS, REGRESSION

Floats = NDArray[np.float64]
Labels = NDArray[Any]
"""Class codes or numbers, shape (rows,)."""
Direction = Literal["less", "more"]
Function = Callable[[Labels, Floats, Floats | None], float]
RowFunction = Callable[[Labels, Floats], Floats]

CLASSES = (BINARY, MULTICLASS)
NEAR_ZERO = 0.01
"""A label nearer to zero than this share of the median label's size makes the relative error say nothing."""


@dataclass(frozen=True)
class Metric:
    """How a forecast is judged.

    Attributes:
        name: In lower case, as in JSON and in MLflow's `test_<name>`.
        title: For people, e.g. `ROC AUC`.
        direction: Whether `less` or `more` is better.
        problems: `binary`, `multiclass`, `regression`.
        function: Of labels (rows,), forecasts (probabilities (rows, classes) or numbers (rows,)) and weights (rows,)
            or None; NaN where it is undefined.
        rows: Where the metric is a weighted mean over rows: each row's value, shape (rows,).
        in_label_units: Whether it is told in the label's unit: effects and tolerances are then shares of a rival's.
        primary: Whether models may be chosen by it. A constant forecast can be best by one that may not.
    """

    name: str
    title: str
    direction: Direction
    problems: tuple[str, ...]
    function: Function | None = None
    rows: RowFunction | None = None
    in_label_units: bool = False
    primary: bool = True

    def __call__(self, label: Labels, forecast: Floats, weight: Floats | None = None) -> float:
        """The metric of labelled rows.

        Raises:
            BadInput: A project's own function failed, or gave something else than a number.
        """
        try:
            if self.rows is not None:
                values = self.each(label, forecast)
                return float(values.mean() if weight is None else np.average(values, weights=weight))
            assert self.function is not None, "a metric has a function"  # noqa: S101 - see `check_metric`
            return float(self.function(label, forecast, weight))
        except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
            raise BadInput(f"metric {self.name!r} cannot be computed: {type(error).__name__}: {error}") from error

    def under(self, label: Labels, forecast: Floats, weights: NDArray[Any]) -> Floats:
        """The metric under many weightings at once, shape (weightings,).

        Args:
            label: Shape (rows,).
            forecast: Shape (rows, classes) or (rows,).
            weights: Shape (rows, weightings).

        Raises:
            BadInput: As for a call.
        """
        if self.rows is not None:
            values = self.each(label, forecast)
            return np.asarray(values @ weights / weights.sum(axis=0, dtype=np.float64))
        drawn = np.asarray(weights, np.float64)
        return np.array([self(label, forecast, drawn[:, place]) for place in range(drawn.shape[1])])

    def each(self, label: Labels, forecast: Floats) -> Floats:
        """Each row's value, shape (rows,), of a metric that is a mean over rows; arguments and errors as for a call."""
        assert self.rows is not None, "the metric is a mean over rows"  # noqa: S101 - its callers looked
        values = np.asarray(self.rows(label, forecast), np.float64)
        if values.shape != label.shape:
            raise BadInput(f"metric {self.name!r} gave {values.shape} values for {len(label)} rows; give one a row")
        return values

    @property
    def sign(self) -> int:
        """1 where less is better, else -1: a metric times its sign is a loss."""
        return 1 if self.direction == "less" else -1

    def better(self, value: float, than: float, gain: float = 0.0) -> bool:
        """Whether a value is better than another by more than a gain."""
        return self.sign * value < self.sign * than - gain

    def least_gain(self, value: float, share: float) -> float:
        """What counts as better than a value: a share of it in the label's units, else the share itself."""
        return share * abs(value) if self.in_label_units else share

    def text(self, value: float | None, sign: str = "") -> str:
        """A value for people: in the label's units with four significant digits, else with four decimals.

        Args:
            value: None shows as a dash.
            sign: `+` shows the sign of numbers above 0.
        """
        if value is None:
            return "-"
        return significant(value, sign=sign) if self.in_label_units else f"{value:{sign}.4f}"

    def short(self, value: float | None) -> str:
        """A value for a table: in the label's units with four significant digits, else with three decimals."""
        if value is None:
            return "-"
        return significant(value) if self.in_label_units else f"{value:.3f}"

    @property
    def words(self) -> str:
        """The title within a sentence."""
        return self.title[0].lower() + self.title[1:] if self.title[1:2].islower() else self.title


def significant(value: float, digits: int = 4, sign: str = "") -> str:
    """A number with so many significant digits: `123,456`, `0.01235`, and `1.235e+20` where it is far from 1."""
    if not math.isfinite(value) or value == 0:
        return f"{value:{sign}g}"
    size = math.floor(math.log10(abs(value)))
    if not -6 <= size < 15:
        return f"{value:{sign}.{digits - 1}e}"
    return f"{value:{sign},.{max(0, digits - 1 - size)}f}"


def near_zero(labels: Floats) -> bool:
    """Whether a label is so near to zero that a relative error says nothing."""
    sizes = np.abs(labels)
    return bool(sizes.min() <= NEAR_ZERO * np.median(sizes)) if len(sizes) else True


def pinball(level: float) -> RowFunction:
    """The loss whose best constant forecast is the labels' quantile at a level.

    R. Koenker and G. Bassett, *Regression Quantiles*, Econometrica 46, 1978.
    """

    def losses(label: Labels, forecast: Floats) -> Floats:
        gap = label - forecast
        return np.asarray(np.maximum(level * gap, (level - 1) * gap))

    return losses


def _root_mean_square(label: Labels, forecast: Floats, weight: Floats | None) -> float:
    return math.sqrt(float(np.average((label - forecast) ** 2, weights=weight)))


def _determination(label: Labels, forecast: Floats, weight: Floats | None) -> float:
    spread = float(np.average((label - np.average(label, weights=weight)) ** 2, weights=weight))
    return 1 - float(np.average((label - forecast) ** 2, weights=weight)) / spread if spread > 0 else math.nan


def _of_classes(name: str) -> Function:
    """A metric of classes, as evaluation computes it, by the more probable class."""

    def value(label: Labels, forecast: Floats, weight: Floats | None) -> float:
        from sluice.problems.weighted_metrics import Predictions

        weights = np.ones(len(label)) if weight is None else np.asarray(weight, np.float64)
        return float(Predictions(label, forecast).metrics(weights[:, None])[name][0])

    return value


def _log_losses(label: Labels, forecast: Floats) -> Floats:
    true = forecast[np.arange(len(label)), label]
    return np.asarray(-np.log(np.maximum(true, np.finfo(np.float64).eps)))


_NUMBER = (REGRESSION,)
_BUILT_IN = (
    Metric("log_loss", "Log loss", "less", CLASSES, rows=_log_losses),
    Metric("brier", "Brier score", "less", CLASSES, _of_classes("brier")),
    Metric("roc_auc", "ROC AUC", "more", CLASSES, _of_classes("roc_auc")),
    Metric("average_precision", "Average precision", "more", (BINARY,), _of_classes("average_precision")),
    Metric("accuracy", "Accuracy", "more", CLASSES, _of_classes("accuracy")),
    Metric("precision", "Precision", "more", CLASSES, _of_classes("precision"), primary=False),
    Metric("recall", "Recall", "more", CLASSES, _of_classes("recall"), primary=False),
    Metric("f1", "F1", "more", CLASSES, _of_classes("f1")),
    Metric("calibration_error", "Calibration error", "less", CLASSES, primary=False),
    Metric("rmse", "RMSE", "less", _NUMBER, _root_mean_square, in_label_units=True),
    Metric("mae", "MAE", "less", _NUMBER, rows=lambda y, f: np.abs(y - f), in_label_units=True),
    Metric("r2", "R²", "more", _NUMBER, _determination),
    Metric("mape", "MAPE", "less", _NUMBER, rows=lambda y, f: np.abs((y - f) / y)),
    Metric("pinball_10", "Pinball loss at 0.1", "less", _NUMBER, rows=pinball(0.1), in_label_units=True),
    Metric("pinball_50", "Pinball loss at 0.5", "less", _NUMBER, rows=pinball(0.5), in_label_units=True),
    Metric("pinball_90", "Pinball loss at 0.9", "less", _NUMBER, rows=pinball(0.9), in_label_units=True),
    Metric("mse", "MSE", "less", _NUMBER, rows=lambda y, f: (y - f) ** 2, primary=False),
    Metric("bias", "Bias", "less", (*CLASSES, *_NUMBER), rows=lambda y, f: y - f, in_label_units=True, primary=False),
)
BUILT_IN = {metric.name: metric for metric in _BUILT_IN}
"""By name, in the order of the tables."""


def metrics_of(problem: str, own: Iterable[Metric] = ()) -> dict[str, Metric]:
    """A problem's metrics by name, a project's own last.

    Raises:
        BadInput: An own metric is none, or has a built-in one's name.
    """
    found = {name: _within(metric, problem) for name, metric in BUILT_IN.items() if problem in metric.problems}
    for metric in own:
        check_metric(metric)
        if metric.name in BUILT_IN:
            raise BadInput(f"metric {metric.name!r} is Sluice's own; give yours another name")
        if problem in metric.problems:
            found[metric.name] = metric
    return found


def _within(metric: Metric, problem: str) -> Metric:
    """A metric as a problem has it: a class has no unit."""
    return metric if problem == REGRESSION else replace(metric, in_label_units=False)


class OwnMetric(Protocol):
    """What a metric of a project or of an installed package has: `Metric` does, and so may any other object."""

    name: str
    title: str
    direction: str
    problems: tuple  # type: ignore[type-arg]

    def __call__(self, label: Any, forecast: Any, weight: Any) -> float:  # noqa: ANN401 - arrays
        """The metric of labelled rows; see `Metric`."""
        ...


METRICS: Registry[OwnMetric] = Registry("metrics", OwnMetric, {}, title="metric")
"""Those that installed packages and projects bring."""


def open_metric(name: str, code: str = "") -> tuple[str, tuple[Metric, ...]]:
    """The name of a metric that a person chose, and the metric itself where it is not a built-in one.

    Args:
        name: A built-in one's, an installed package's, `file.py:name` of a project, or empty.
        code: The address of the project's code.

    Raises:
        BadInput: There is none, or it is no metric.
    """
    if not name or name in BUILT_IN:
        return name, ()
    opened = None
    if code:
        from sluice.project.code import open_code

        opened = open_code(code)  # which may bring the metric's package along
    if not (is_reference(name) or name in METRICS.names()):
        return name, ()
    found: Any = METRICS.get(name, opened)
    made = found if isinstance(found, Metric) else _wrapped(found)
    if opened:
        made = blamed_metric(made, opened, name)
    check_metric(made)
    return made.name, (made,)


def _wrapped(found: OwnMetric) -> Metric:
    """Another object's name, title, direction and problems, and itself as the function."""
    kept = {name: getattr(found, name) for name in ("rows", "in_label_units", "primary") if hasattr(found, name)}
    return Metric(found.name, found.title, found.direction, tuple(found.problems), function=found, **kept)  # type: ignore[arg-type]


def blamed_metric(metric: Metric, code: Code, name: str) -> Metric:
    """A metric whose functions' errors are told with the file and line of the project."""
    return replace(metric, function=_blamed(metric.function, code, name), rows=_blamed(metric.rows, code, name))


def _blamed(function: Any, code: Code, name: str) -> Any:  # noqa: ANN401 - a function of any kind
    """A function whose errors are told with the file and line of the project."""
    if function is None:
        return None

    def called(*given: Any) -> Any:  # noqa: ANN401 - as above
        with code.blamed(f"metric {name}"):
            return function(*given)

    return called


def check_metric(metric: Metric) -> None:
    """Refuse what cannot judge.

    Raises:
        BadInput: It names no problem or direction that there is, has a name that MLflow would not take, or no function.
    """
    where = f"metric {metric.name!r}"
    if not metric.name or not all(c.isascii() and (c.isalnum() or c == "_") for c in metric.name):
        raise BadInput(f"{where}: use letters, digits and _ for its name")
    if metric.direction not in ("less", "more"):
        raise BadInput(f"{where}: direction {metric.direction!r} is unknown; say whether 'less' or 'more' is better")
    wrong = sorted(set(metric.problems) - {BINARY, MULTICLASS, REGRESSION})
    if wrong or not metric.problems:
        named = repr(wrong[0]) if wrong else "none"
        raise BadInput(f"{where}: problems names {named}; use {BINARY}, {MULTICLASS} and {REGRESSION}")
    if metric.function is None and metric.rows is None:
        raise BadInput(f"{where} has no function; give function=(label, forecast, weight) -> float")


def find_metric(name: str, problem: str, own: Iterable[Metric] = ()) -> Metric:
    """The metric by which models of a problem are to be chosen.

    Raises:
        BadInput: There is none of that name, or models cannot be chosen by it.
    """
    known = {key: metric for key, metric in metrics_of(problem, own).items() if metric.primary}
    if name in known:
        return known[name]
    raise BadInput(
        f"parameter metric={name!r}: a {problem} problem's models are not chosen by it{near(name, list(known))} "
        f"(there are {', '.join(known)}; a project's own is written FILE.py:NAME)"
    )


def title_of(name: str) -> str:
    """A metric's title; a project's own has its name for one where only the name is known."""
    return BUILT_IN[name].title if name in BUILT_IN else name


def shown_metric(name: str) -> Metric:
    """A metric to show values of, where only its name is known."""
    return BUILT_IN.get(name) or Metric(name, name, "less", (*CLASSES, *_NUMBER), in_label_units=True)
