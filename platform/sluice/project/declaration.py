"""What a user declares: the question, its rows and label, and what is to be done with them.

A project file, `sluice.yaml`, has these keys; `sluice.py` makes the same objects. Descriptions of the fields are what
editors show (through the JSON schema) and what the reference in the documentation is made of.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from sluice.core.durations import is_duration
from sluice.core.quantities import amount
from sluice.extending.gate_checks import SLUICES_OWN
from sluice.project.values import (
    Bytes,
    ClassValue,
    ColumnName,
    Cores,
    Count,
    Duration,
    ExtendedResource,
    Extension,
    Image,
    Integer,
    Known,
    ModelName,
    Number,
    Shares,
    SourceName,
    TableName,
    Text,
    refusal,
    split_reference,
)

SCHEMA: Literal[1] = 1
"""The version of the project file that this Sluice reads and writes."""
Columns = tuple[ColumnName, ...]
_QUESTION = "The question in words; reports and the model's card show it."
_FEATURES = (
    "Columns to learn from: names, patterns with * or ?, and exclusions that begin with '!'; left out: every column "
    "but key, label, time and group that is known in time."
)
_PREPARE = (
    "What makes the rows out of the tables (a mapping of names to Ibis tables): FILE.py:FUNCTION, or an installed "
    "package's by its name; left out: the table as it is."
)
_A_NAME = "write a name, or one name with its settings, such as {trees: {learning_rate: 0.05}}"
_SLICES = "Columns whose groups are looked at one by one."
Problem = tuple[tuple[str | int, ...], str]
"""Where in the file something is wrong, as keys and positions, and what."""


class _Declared(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, use_attribute_docstrings=False, allow_inf_nan=False
    )


class Rows(_Declared):
    """The rows of which the question is asked."""

    table: TableName = Field(description="The table of the data contract whose rows are learned from.")
    key: Columns = Field(
        default=(),
        description="Columns that identify a row; left out: the contract's key, else the place in the table.",
    )
    time: ColumnName | None = Field(
        default=None, description="The timestamp at which the question is asked of a row; features must be known then."
    )
    group: ColumnName | None = Field(
        default=None,
        description="The column whose equal values mark rows that depend on each other, such as a customer's rows.",
    )


class Label(_Declared):
    """What is to be predicted."""

    column: ColumnName = Field(description="The column that holds it.")
    known: Known | None = Field(
        default=None,
        description="When it is known: how long after the row's time (30d), or a moment that the contract names.",
    )
    kind: Extension | None = Field(
        default=None,
        description="The problem: binary, multiclass, regression, counts (whole numbers from 0 on), an installed one "
        "or FILE.py:NAME; left out: found from the column's type and number of values.",
    )
    classes: tuple[Text, ...] = Field(
        default=(),
        description="The classes in order: the values of a text column, or names for false and true or 0, 1, 2, ….",
    )
    positive: ClassValue | None = Field(
        default=None, description="With two classes, the value that is looked for; left out: the last of the classes."
    )


class Sample(_Declared):
    """Which part of the rows is worked with."""

    fraction: Number = Field(default=1.0, gt=0, le=1, description="Share of the rows to keep.")
    rows: Integer = Field(default=0, ge=0, le=2**53, description="Number of rows to keep instead; 0 for the fraction.")
    strata: Columns = Field(default=(), description="Columns within whose groups the sample is drawn.")
    allocation: Literal["proportional", "equal"] = Field(
        default="proportional", description="Rows of each group: in proportion to its size, or equally many."
    )
    by: Extension | None = Field(
        default=None,
        description="What says with which probability each row is drawn: an installed sampler or FILE.py:NAME; left "
        "out: the strata.",
    )


class Split(_Declared):
    """How rows are divided into those to learn from, to choose by and to judge by."""

    by: Extension | None = Field(
        default=None,
        description="time (learn from the past, judge on the future), group (no group on both sides), stratified "
        "(equal label shares), random, folds (for few rows: each row is judged by models fitted without it, groups "
        "stay whole), an installed splitter or FILE.py:NAME; left out: time where rows have one, else group where they "
        "have one, else stratified.",
    )
    shares: Shares = Field(
        default=(0.7, 0.15, 0.15), description="Shares of the rows for training, validation and test."
    )
    folds: Integer | None = Field(
        default=None, ge=3, le=20, description="Number of folds of a split by folds; left out: 5."
    )
    gap: Duration | None = Field(
        default=None, description="Time left out between the parts; left out: as long as the label takes to be known."
    )


class _Named(_Declared):
    """Something that a registry knows or the project has itself, with settings: `trees`, or `trees: {rounds: 9}`."""

    name: Extension = Field(description="A name that Sluice or an installed package has, or FILE.py:NAME.")
    settings: dict[str, JsonValue] = Field(default={}, description="Its own settings.")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:  # noqa: ANN401 - YAML
        if isinstance(value, str):
            return {"name": value}
        if isinstance(value, cls):
            return value
        if not isinstance(value, Mapping) or len(value) == 0:
            raise refusal(_A_NAME)
        if isinstance(value.get("name"), str) and set(value) <= {"name", "settings"}:
            return value
        if len(value) != 1:
            raise refusal(_A_NAME)
        name, settings = next(iter(value.items()))
        return {"name": name, "settings": {} if settings is None else settings}

    @property
    def short(self) -> str:
        """What people call it: `margin` of `mine.py:margin`."""
        return self.name.rpartition(":")[2]

    @model_serializer(mode="wrap")
    def _shorten(self, handler: SerializerFunctionWrapHandler) -> Any:  # noqa: ANN401 - JSON
        full = handler(self)
        return {self.name: full["settings"]} if self.settings else self.name

    @classmethod
    def __get_pydantic_json_schema__(cls, *_: Any) -> dict[str, Any]:  # noqa: ANN401 - pydantic's
        return {
            "description": f"{cls.model_fields['name'].description} Or one of them with its settings.",
            "anyOf": [
                {"type": "string"},
                {
                    "type": "object",
                    "minProperties": 1,
                    "maxProperties": 1,
                    "additionalProperties": {"type": ["object", "null"]},
                },
            ],
        }


class Candidate(_Named):
    """A family of models to train, with settings of its own: `trees`, or `trees: {learning_rate: 0.05}`."""

    name: Extension = Field(description="A family that Sluice or an installed package has, or FILE.py:CLASS.")
    settings: dict[str, JsonValue] = Field(default={}, description="The family's own settings.")


class GateCheck(_Named):
    """A further check of the gate: `mine.py:margin`, or `mine.py:margin: {least: 0.7}`."""

    name: Extension = Field(description="A gate check that an installed package has, or FILE.py:NAME.")


class ReportSection(_Named):
    """A further section of the report, written as a gate check is."""

    name: Extension = Field(description="A report section that an installed package has, or FILE.py:NAME.")


class Source(_Named):
    """What reads a table of the contract that names it: `mine.py:visits`, or `mine.py:visits: {days: 30}`."""

    name: Extension = Field(description="A source that an installed package has, or FILE.py:NAME.")


class Report(_Declared):
    """What the report shows beside Sluice's own sections."""

    sections: tuple[ReportSection, ...] = Field(
        default=(), description="Further sections, by installed packages' names or FILE.py:NAME."
    )


class Train(_Declared):
    """What is trained, and within which budget."""

    seconds: Number = Field(
        default=60.0, gt=0, le=10_000_000, description="Budget of each candidate in seconds; then it is broken off."
    )
    rounds: Integer = Field(
        default=0,
        ge=0,
        le=1_000_000_000,
        description="Budget of each candidate in rounds, without a clock: equal on every machine; 0 for seconds.",
    )
    candidates: tuple[Candidate, ...] = Field(
        default=(), description="What to train, each a name or {name: settings}; empty takes all that fit the problem."
    )
    baseline: ColumnName | None = Field(
        default=None, description="The feature that a person would judge by alone; it makes a baseline."
    )


class Gate(_Declared):
    """What a model must show before it may become champion; what is left out keeps the value of the step evaluate."""

    slices: Columns | None = Field(
        default=None, description="Columns whose groups must not become worse; left out: the project's slices."
    )
    max_calibration_error: Number | None = Field(
        default=None, ge=0, le=10, description="The greatest calibration error, as a share of the base rate."
    )
    slice_tolerance: Number | None = Field(
        default=None, ge=0, le=10, description="By how much the loss may exceed a rival's in a slice."
    )
    min_slice_rows: Integer | None = Field(
        default=None, ge=2, le=1_000_000_000, description="Slices with fewer rows are not judged."
    )
    least_effect: Number | None = Field(
        default=None, ge=0, le=10, description="By how much the loss must be less than a rival's to matter."
    )
    min_effective_rows: Integer | None = Field(
        default=None,
        ge=2,
        le=1_000_000_000,
        description="With fewer test rows, counted as if independent, nothing is decided.",
    )
    checks: tuple[GateCheck, ...] = Field(
        default=(), description="Further checks, by installed packages' names or FILE.py:NAME."
    )


class Toleration(_Declared):
    """A taint of nodes that the pod may go to all the same; the fields are those of Kubernetes."""

    model_config = ConfigDict(populate_by_name=True)

    key: str = Field(default="", description="The taint's key; left out, with the operator Exists: every taint.")
    operator: Literal["Exists", "Equal"] = Field(
        default="Equal", description="Equal compares the taint's value, Exists takes any."
    )
    value: str = Field(default="", description="The taint's value, with the operator Equal.")
    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] = Field(
        default="", description="The taint's effect; left out: every effect."
    )
    toleration_seconds: int | None = Field(
        default=None,
        alias="tolerationSeconds",
        description="How long the pod stays on a node that gets the taint NoExecute; left out: for good.",
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.operator == "Exists" and self.value:
            raise refusal("a toleration with the operator Exists has no value")
        if not self.key and self.operator == "Equal":
            raise refusal("a toleration names its key, or has the operator Exists")
        return self


class NodeShare(_Declared):
    """What a step's pod asks for on a cluster; what is left out keeps the value of who is further from the run."""

    cpu: Cores | None = Field(default=None, description='The most cores that it may take, such as 500m or "2".')
    memory: Bytes | None = Field(
        default=None, description="The most memory that it may take, such as 4Gi; a step that takes more is ended."
    )
    cpu_request: Cores | None = Field(
        default=None, description="Cores that are kept free for it; left out: as many as cpu."
    )
    memory_request: Bytes | None = Field(
        default=None, description="Memory that is kept free for it; left out: as much as memory."
    )
    disk: Bytes | None = Field(
        default=None,
        description="A volume of its own for temporary files, gone with the pod; left out: a share of its node's.",
    )
    gpu: Count | None = Field(default=None, description="Number of GPUs; 0 takes none where others ask for some.")
    gpu_kind: ExtendedResource | None = Field(
        default=None, description="The name that nodes offer them under; left out: nvidia.com/gpu."
    )
    node_selector: dict[str, str] | None = Field(
        default=None, description="Labels that its node must have, such as the model of its GPUs."
    )
    tolerations: tuple[Toleration, ...] | None = Field(
        default=None,
        description="Taints of nodes that it may go to, as Kubernetes writes them; left out: that of its GPUs' kind.",
    )

    @model_validator(mode="after")
    def _requests(self) -> Self:
        for limit, request in (("cpu", "cpu_request"), ("memory", "memory_request")):
            most, kept = getattr(self, limit), getattr(self, request)
            if most and kept and amount(kept) > amount(most):
                stated = type(self).model_fields[request].alias or request
                raise refusal(f"{stated} {kept} is more than {limit} {most}")
        return self


class Resources(NodeShare):
    """What a step asks for on a cluster, and where its program is."""

    image: Image | None = Field(
        default=None,
        description="An image to run it in instead of Sluice's own: one that holds Sluice in this version, and what "
        "the project's code needs besides. The site must allow it (admission.images).",
    )


class TaskDeclaration(_Declared):
    """The part of a project that decides which rows there are: what the step `prepare` takes as its parameter `task`.

    An edit of anything else in the project leaves this part, and with it the prepared rows, as they are.
    """

    name: ModelName = Field(description="The registered model's name.")
    question: Text = Field(default="", description=_QUESTION)
    rows: Rows = Field(description="The rows of which the question is asked.")
    label: Label = Field(description="What is to be predicted.")
    features: Columns = Field(default=(), description=_FEATURES)
    prepare: Extension | None = Field(default=None, description=_PREPARE)
    slices: Columns = Field(default=(), description=_SLICES)
    baseline: ColumnName | None = Field(default=None, description="The feature of the baseline, see train.")


class Project(_Declared):
    """A project: a question to a table, declared."""

    schema_version: Literal[1] = Field(
        default=SCHEMA, alias="schema", description="The version of this file's form; 1 is the only one so far."
    )
    name: ModelName = Field(description="The registered model's name.")
    question: Text = Field(default="", description=_QUESTION)
    data: Text = Field(
        min_length=1,
        description="The data: a folder of the project with contract.yaml, a key of the store, or s3://bucket/prefix.",
    )
    sources: dict[SourceName, Source] = Field(
        default={},
        description="What reads tables whose contract says source: {by: NAME}, by that name: FILE.py:NAME, or an "
        "installed source.",
    )
    rows: Rows = Field(description="The rows of which the question is asked.")
    label: Label = Field(description="What is to be predicted.")
    features: Columns = Field(default=(), description=_FEATURES)
    prepare: Extension | None = Field(default=None, description=_PREPARE)
    sample: Sample = Field(default=Sample(), description="Which part of the rows is worked with.")
    split: Split = Field(default=Split(), description="How rows are divided to learn from and to judge by.")
    metric: Extension | None = Field(
        default=None,
        description="What candidates are chosen by, such as log_loss or rmse; left out: the problem's own.",
    )
    train: Train = Field(default=Train(), description="What is trained, and within which budget.")
    gate: Gate = Field(default=Gate(), description="What a model must show before it may become champion.")
    report: Report = Field(default=Report(), description="What the report shows beside Sluice's own sections.")
    slices: Columns = Field(default=(), description=_SLICES)
    steps: dict[Text, Resources] = Field(
        default={}, description="What steps ask for on a cluster, by their names; '*' for every step."
    )
    pipeline: Extension = Field(
        default="supervised",
        description="The pipeline that runs: Sluice's own, an installed package's, or FILE.py:NAME.",
    )
    files: tuple[Text, ...] = Field(
        default=(), description="Files of the project that its code reads or imports by other ways than `import`."
    )
    packages: Text | None = Field(
        default=None,
        description="The lock of what its code needs beside Sluice's own packages: a file of name==version lines with "
        "SHA-256 hashes (uv pip compile --universal --generate-hashes). The wheels go along, from the folder wheels "
        "beside it, else from pip.",
    )
    seed: Integer = Field(
        default=2013, ge=0, lt=2**31, description="Decides sample, split, models' random numbers and intervals."
    )
    parameters: dict[Text, JsonValue] = Field(
        default={}, description="Other parameters: the pipeline's by name, a step's as STEP.NAME."
    )

    @model_validator(mode="after")
    def _agree(self) -> Self:
        problems = [*_twice(self), *_roles(self), *_times(self)]
        if problems:
            raise _wrong(problems)
        return self

    @property
    def split_by(self) -> str:
        """How the rows are divided, also where the project leaves it open."""
        if self.split.by:
            return self.split.by
        return "time" if self.rows.time else "group" if self.rows.group else "stratified"

    @property
    def split_gap(self) -> str | None:
        """The time left out between the parts of a split by time: the project's, or the label's own lag."""
        if self.split_by != "time":
            return None
        known = self.label.known
        return self.split.gap or (known if known and is_duration(known) else None)

    def task_body(self) -> dict[str, Any]:
        """What the step `prepare` takes as `task`, as JSON values; `TaskDeclaration.model_validate` reads it."""
        shared = {name: getattr(self, name) for name in TaskDeclaration.model_fields if name != "baseline"}
        task = TaskDeclaration(**shared, baseline=self.train.baseline)
        return task.model_dump(mode="json", exclude_defaults=True)

    def pipeline_parameters(self) -> dict[str, Any]:
        """The parameters of the pipeline `supervised` by name, as JSON values.

        Left out are the project's own place (`lake`, see `lake_address`) and its code, which whoever starts a run
        adds, and whatever the project leaves to the pipeline. A key `STEP.NAME` of `parameters` stays as it is.
        """
        given = {
            "task": self.task_body(),
            "sample_fraction": self.sample.fraction,
            "strata": list(self.sample.strata),
            "allocation": self.sample.allocation,
            "split_strategy": self.split_by,
            "shares": list(self.split.shares),
            "candidates": [candidate.model_dump(mode="json") for candidate in self.train.candidates],
            "seconds_per_candidate": self.train.seconds,
            "max_rounds": self.train.rounds,
            "seed": self.seed,
        }
        optional = {
            "sample_rows": self.sample.rows or None,
            "sample_by": self.sample.by,
            "sources": {name: source.model_dump(mode="json") for name, source in self.sources.items()} or None,
            "gap": self.split_gap,
            "folds": self.split.folds,
            "metric": self.metric,
            **self.gate.model_dump(mode="json", exclude={"slices", "checks"}),
            "gate_checks": [check.model_dump(mode="json") for check in self.gate.checks] or None,
            "report_sections": [section.model_dump(mode="json") for section in self.report.sections] or None,
            "gate_slices": None if self.gate.slices is None else list(self.gate.slices),
        }
        return given | {name: value for name, value in optional.items() if value is not None} | self.parameters

    def lake_address(self, folder: Path) -> str:
        """Where the data are: an absolute path for a folder of the project, else the address as it is declared.

        Args:
            folder: The project's.
        """
        if "://" in self.data:
            return self.data
        inside = folder / self.data
        return str(inside.resolve()) if self.data.startswith(("./", "/")) or inside.is_dir() else self.data

    def references(self) -> tuple[str, ...]:
        """All `file.py:name` that the project names, each once."""
        single = (self.label.kind, self.prepare, self.sample.by, self.split.by, self.metric, self.pipeline)
        lists = (self.sources.values(), self.train.candidates, self.gate.checks, self.report.sections)
        named = [*single, *(each.name for entries in lists for each in entries)]
        return tuple(dict.fromkeys(name for name in named if name and split_reference(name)))


def _wrong(problems: list[Problem]) -> PydanticCustomError:
    """Several things that are wrong with a model, each with its place below it; `files` finds their lines."""
    words = "; ".join(message for _, message in problems)
    return PydanticCustomError("sluice_problems", "{message}", {"message": words, "problems": problems})


def _twice(project: Project) -> Iterator[Problem]:
    lists: dict[tuple[str, ...], Columns] = {
        ("rows", "key"): project.rows.key,
        ("features",): project.features,
        ("sample", "strata"): project.sample.strata,
        ("slices",): project.slices,
        ("gate", "slices"): project.gate.slices or (),
        ("label", "classes"): project.label.classes,
        ("files",): project.files,
        ("train", "candidates"): tuple(str(c.model_dump_json()) for c in project.train.candidates),
        ("gate", "checks"): tuple(each.short for each in project.gate.checks),
        ("report", "sections"): tuple(each.short for each in project.report.sections),
    }
    for place, names in lists.items():
        for position, name in enumerate(names):
            if name in names[:position]:
                yield (*place, position), f"{name[:80]!r} stands there twice; keep one"


def _roles(project: Project) -> Iterator[Problem]:
    label = project.label
    roles: dict[tuple[str | int, ...], str | None] = {
        ("rows", "time"): project.rows.time,
        ("rows", "group"): project.rows.group,
        ("train", "baseline"): project.train.baseline,
    }
    roles |= {("rows", "key", i): name for i, name in enumerate(project.rows.key)}
    roles |= {("features", i): name for i, name in enumerate(project.features)}
    for place, name in roles.items():
        if name == label.column:
            yield place, f"{name[:80]!r} is the label, the very thing to predict; name another column"
    if project.sample.by and project.sample.strata:
        yield ("sample", "strata"), f"strata are for Sluice's own sample, and this one is by {project.sample.by}"
    for i, check in enumerate(project.gate.checks):
        if check.short in SLUICES_OWN:
            yield ("gate", "checks", i), f"{check.short!r} is Sluice's own gate check; give yours another name"
    for i, name in enumerate(project.features):
        if name == project.rows.time:
            yield ("features", i), f"{name[:80]!r} is the rows' time, which is no feature; leave it out"
    if label.kind == "regression" and (label.classes or label.positive is not None):
        key = "classes" if label.classes else "positive"
        yield ("label", key), f"a regression has no classes; leave {key} out, or write kind: multiclass"
    if len(label.classes) == 1:
        yield ("label", "classes"), "one class is nothing to tell apart; name two or more"


def _times(project: Project) -> Iterator[Problem]:
    rows, split, known = project.rows, project.split, project.label.known
    if split.by == "time" and not rows.time:
        yield ("split", "by"), "a split by time needs rows.time; name the column, or split by stratified"
    if split.by == "group" and not rows.group:
        yield ("split", "by"), "a split by group needs rows.group; name the column, or split by stratified"
    if split.by == "folds" and rows.time:
        yield (
            ("split", "by"),
            f"rows have a time, {rows.time[:80]!r}, and folds would learn from what comes after it; split by time",
        )
    if split.folds and (split.by in (None, "time", "group", "stratified", "random")):
        yield ("split", "folds"), f"folds are for a split by folds, and this one is by {project.split_by}; leave it out"
    if split.by == "folds" and "shares" in split.model_fields_set:
        yield ("split", "shares"), "shares are for three parts, and this split is by folds; leave them out"
    if split.gap and project.split_by != "time":
        yield ("split", "gap"), f"a gap is for a split by time, and this one is by {project.split_by}; leave it out"
    if known and is_duration(known) and not rows.time:
        yield ("label", "known"), f"{known} after what? rows.time names no column; name it, or leave known out"
