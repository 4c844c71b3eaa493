"""The learning task that a prepared table carries along: which column is the label, which are features.

`prepare` decides it once; sample, split, train, evaluate and register read it from the dataset's manifest.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sluice.core.errors import BadInput

if TYPE_CHECKING:  # a registered model carries this module, and no store
    from sluice.artifacts.bundles import Bundle

BINARY, MULTICLASS, REGRESSION = "binary", "multiclass", "regression"


@dataclass(frozen=True)
class Task:
    """What is to be learned.

    Attributes:
        name: Names the registered model, e.g. `house-prices`.
        question: The question in words, shown in reports.
        label: The column with the class code, an integer from 0 to the number of classes less 1; for a regression the
            column with the number to forecast, float64.
        classes: The classes' names by code; with two, the second is the positive one. None for a regression.
        numeric: Feature columns with numbers (missing values allowed).
        categorical: Feature columns with strings (missing values allowed).
        image: The column with an encoded image (PNG bytes), or None.
        key: Columns that identify a row.
        time: The timestamp column that orders rows, or None.
        timezone: The zone in which a day of `time` begins and ends (IANA, e.g. `America/New_York`).
        cluster: The column whose equal values mark rows that are not independent of each other, such as a patient;
            None for the local days of `time`, and for independent rows where there is no time.
        weight: The column with each row's weight, one over its inclusion probability, which `sample` sets; None where
            every row stands for itself alone.
        slices: Columns whose groups are looked at one by one in evaluation.
        heuristic: The feature that a person would judge by alone: a baseline.
        problem: The form of forecasts: `binary`, `multiclass` or `regression`; empty where the number of classes says
            it.
        label_lag_seconds: How many seconds after `time` the label is known at the latest; None where nothing tells it.
        problem_name: The problem that a project poses, as it names it, where it is none of the three forms: `counts`,
            `counting.py:visits`. What asks for the form goes by `problem`, and a model predicts without the rest.
    """

    name: str
    question: str
    label: str
    classes: tuple[str, ...]
    key: tuple[str, ...]
    numeric: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    image: str | None = None
    time: str | None = None
    timezone: str = "UTC"
    cluster: str | None = None
    weight: str | None = None
    slices: tuple[str, ...] = ()
    heuristic: str | None = None
    problem: str = ""
    label_lag_seconds: float | None = None
    problem_name: str = ""

    @property
    def kind(self) -> str:
        """The form of forecasts: `binary`, `multiclass` or `regression`."""
        return self.problem or (BINARY if len(self.classes) == 2 else MULTICLASS)

    @property
    def regression(self) -> bool:
        """Whether a number is to be forecast, not a class."""
        return self.kind == REGRESSION

    @property
    def posed(self) -> str:
        """The problem as people read it: its form, or the name that the project has for it."""
        return self.problem_name or self.kind

    @property
    def features(self) -> tuple[str, ...]:
        """All feature columns, in the order that models see them."""
        return (*self.numeric, *self.categorical, *((self.image,) if self.image else ()))

    def body(self) -> dict[str, Any]:
        """The task as JSON values; younger fields only where they say something, so that earlier ids stay."""
        younger = ("problem", "label_lag_seconds", "problem_name")
        return {name: value for name, value in asdict(self).items() if name not in younger or value}

    def details(self) -> dict[str, Any]:
        """The task as a manifest's details keep it."""
        return {"task": self.body()}


def task_of(bundle: "Bundle") -> Task:
    """The task that a dataset (or a model) carries.

    Raises:
        BadInput: It carries none, or one of a newer Sluice.
    """
    body = bundle.manifest.details.get("task")
    if not isinstance(body, Mapping):
        raise BadInput(f"{bundle.uri} carries no task (label and features); use a dataset made by prepare or sample")
    lists = ("classes", "key", "numeric", "categorical", "slices")
    values: dict[str, Any] = {k: tuple(v) if k in lists else v for k, v in body.items()}
    try:
        return checked_task(Task(**values))
    except ValueError as error:
        raise BadInput(f"{bundle.uri} carries a task that contradicts itself ({error}); run prepare again") from None
    except TypeError as error:  # a field that this version does not know, or that it cannot do without
        words = str(error).removeprefix("Task.__init__() ")
        raise BadInput(f"{bundle.uri} carries a task of another Sluice ({words}); run prepare again") from None


def checked_task(task: Task) -> Task:
    """The task itself, where its problem and its classes agree.

    Raises:
        ValueError: They do not, or the problem is unknown.
    """
    if task.kind not in (BINARY, MULTICLASS, REGRESSION):
        raise ValueError(f"problem {task.kind!r} is unknown; there are {BINARY}, {MULTICLASS} and {REGRESSION}")
    if not isinstance(task.problem_name, str):
        raise ValueError(f"the problem's name is {task.problem_name!r}")
    if task.regression and task.classes:
        raise ValueError("a regression has no classes")
    if not task.regression and len(task.classes) < 2:
        raise ValueError("a task has at least two classes")
    if task.kind == BINARY and len(task.classes) != 2:
        raise ValueError(f"a binary task has two classes, not {len(task.classes)}")
    return task
