"""What a file of the log says of itself, and what a writer says of its rows: forms with a version.

The columns of a file are Sluice's own, whose names begin with `sluice_`, and the contract's raw columns.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sluice.core.errors import BadInput

NOTE = "sluice.predictions"
"""The key of a file's metadata under which its form stands."""
OURS = "sluice_"
REQUEST, ROW, MOMENT, SECONDS = "sluice_request", "sluice_row", "sluice_moment", "sluice_seconds"
WRITER, SEQUENCE = "sluice_writer", "sluice_sequence"
MODEL, VERSION, DIGEST, ROLE = "sluice_model", "sluice_version", "sluice_digest", "sluice_role"
CALLED, FORECAST, PROBABILITY = "sluice_called", "sluice_forecast", "sluice_probability_{}"
"""The class called; a number that was forecast; the probability of a class, by its place in `classes`."""
OWN_TYPES = {
    REQUEST: "string",
    ROW: "int64",
    MOMENT: "timestamp",
    SECONDS: "float64",
    WRITER: "string",
    SEQUENCE: "int64",
    MODEL: "string",
    VERSION: "string",
    DIGEST: "string",
    ROLE: "string",
}
"""Those that every file has, in their order, in a data contract's types."""


class _Form(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False, populate_by_name=True)


class LoggedField(_Form):
    """A raw column.

    Attributes:
        name: The column.
        type: As in the file: the contract's, or `string` where its values are masked.
        contract_type: What the contract says.
        hashed: Whether its values are masked, so that it is only seen which are equal.
    """

    name: str
    type: Literal["string", "int64", "float64", "bool", "timestamp", "date"]
    contract_type: str
    hashed: bool = False


class LogForm(_Form):
    """What the rows of a writer are; it stands in each of its files.

    Attributes:
        schema_version: Of this form.
        model: The registered model.
        version: Of it.
        digest: SHA-256 of its files.
        role: `champion`, `challenger` or `shadow`.
        problem: `binary`, `multiclass` or `regression`.
        label: The column that is forecast.
        classes: By their place; none for a number.
        key: Columns that identify a row.
        time: The column with a row's moment, or None.
        fields: The raw columns in the file.
        dropped: Raw columns that the contract keeps out of the log.
        sampling: The share of requests that are logged; each stands for one over it.
        writer: Who wrote it.
    """

    schema_version: Annotated[Literal[1], Field(alias="schema")] = 1
    model: str
    version: str
    digest: str
    role: str
    problem: str
    label: str
    classes: tuple[str, ...] = ()
    key: tuple[str, ...] = ()
    time: str | None = None
    fields: tuple[LoggedField, ...]
    dropped: tuple[str, ...] = ()
    sampling: float
    writer: str

    def text(self) -> str:
        """As it stands in a file's metadata."""
        return self.model_dump_json(by_alias=True)

    @property
    def forecasts(self) -> dict[str, str]:
        """The columns of the forecast, with their types."""
        if not self.classes:
            return {FORECAST: "float64"}
        return {CALLED: "string"} | {PROBABILITY.format(place): "float64" for place in range(len(self.classes))}


class WriterRecord(_Form):
    """What a writer says of its rows, so that a reader knows how many were lost.

    Attributes:
        schema_version: Of this form.
        form: What its rows are.
        begun: When, in seconds since 1970.
        flush_seconds: Rows of that long, and those that wait, are lost when the process is killed.
        ended: When it is known to have ended; None while it may be writing.
        how: `stopped` or `killed`; None while it may be writing.
        observed: How many rows it numbered; None while it may be writing.
    """

    schema_version: Annotated[Literal[1], Field(alias="schema")] = 1
    form: LogForm
    begun: float
    flush_seconds: float
    ended: float | None = None
    how: Literal["stopped", "killed"] | None = None
    observed: int | None = None


def read_form(text: str | bytes | None, where: str) -> LogForm:
    """The form in a file's metadata.

    Raises:
        BadInput: There is none, or one of another Sluice.
    """
    try:
        return LogForm.model_validate_json(text or "")
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise BadInput(
            f"{where} is no file of predictions that this Sluice reads ({place or 'metadata'}: {first['msg']}); "
            "move it out of the folder predictions, or read it with the Sluice that wrote it"
        ) from None
