"""What a server is told before it starts: one document, made by `sluice serve` or by a chart, refused as a whole."""

import json
import re
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from sluice.core.errors import BadInput
from sluice.core.files import faults
from sluice.serving.limits import Limits

LOOPBACK = ("127.0.0.1", "::1", "localhost")
_Port = Annotated[int, Field(ge=0, le=65535)]
_FOLLOWED = re.compile(r"(?P<model>[^@/\s]+)(?:@(?P<alias>[\w.-]+))?")
_MIB = 2**20


class LogOptions(BaseModel):
    """How the prediction log is kept; see `sluice.serving.prediction_log.LogSettings`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    spool: Annotated[
        Path | None,
        Field(description="The folder where rows wait for the store; by default spool/predictions in the home."),
    ] = None
    sampling: Annotated[float, Field(gt=0, le=1, description="The share of requests that are logged.")] = 1.0
    seconds: Annotated[float, Field(gt=0, le=3600, description="After how long rows are brought to the store.")] = 60.0
    file_bytes: Annotated[int, Field(ge=1024, description="So many bytes of rows are brought before that.")] = 4 * _MIB
    queue_bytes: Annotated[int, Field(ge=_MIB, description="Of rows that wait in memory, about.")] = 16 * _MIB
    spool_bytes: Annotated[int, Field(ge=_MIB, description="Of rows that wait on the disk, at most.")] = 256 * _MIB
    drain_seconds: Annotated[float, Field(ge=0, le=3600, description="How long the end waits for the store.")] = 20.0


class Settings(BaseModel):
    """Who answers, where the server listens, what it takes and what it keeps.

    Exactly one of `folder` and `model` is given. A new part of the server (see `sluice.serving.assembly`) adds its
    settings here, with a default that leaves it out.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    folder: Annotated[Path | None, Field(description="A served model's folder: this one version answers.")] = None
    name: Annotated[str, Field(description="Of the folder's model, MODEL/version: how answers and logs name it.")] = ""
    model: Annotated[
        str, Field(description="MODEL or MODEL@alias: the registry's alias is followed, by default champion.")
    ] = ""
    shadow: Annotated[
        float, Field(ge=0, le=1, description="The share of requests that champion and challenger both judge.")
    ] = 1.0
    slices: Annotated[tuple[str, ...], Field(description="Columns whose groups the shadow tells apart.")] = ()
    log: Annotated[LogOptions | None, Field(description="The prediction log; null for none.")] = None
    feedback: Annotated[
        bool | None,
        Field(description="Whether labels are taken; by default where a store is used, so with model or log."),
    ] = None
    host: Annotated[str, Field(description="The address to listen at.")] = "127.0.0.1"
    port: Annotated[_Port, Field(description="The port; 0 takes a free one.")] = 8080
    metrics_port: Annotated[
        _Port | None, Field(description="A port for health and metrics alone, without tokens; else beside the rest.")
    ] = None
    token_file: Annotated[Path | None, Field(description="Tokens that callers must have, one a line.")] = None
    open: Annotated[bool, Field(description="Whether other machines may ask without a token.")] = False
    threads: Annotated[int, Field(ge=1, le=256, description="Long requests at once.")] = 1
    drain: Annotated[
        float, Field(ge=0, le=3600, description="Seconds at the end in which it is not ready, but still answers.")
    ] = 0.0
    grace: Annotated[float, Field(gt=0, le=3600, description="Seconds that requests are waited for at the end.")] = 25.0
    limits: Annotated[Limits, Field(description="Of requests.")] = Limits()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if bool(self.folder) == bool(self.model):
            raise ValueError("give either folder, a served model's, or model, one of the registry's")
        if self.folder and not self.name:
            raise ValueError("folder needs name, MODEL/version: how answers, logs and metrics name its model")
        if self.model and self.name:
            raise ValueError("name goes with folder only; the registry names the versions of a model")
        if self.model and not _FOLLOWED.fullmatch(self.model):
            raise ValueError(
                f"model={self.model!r}: write MODEL or MODEL@alias; one version, MODEL/3, is served from its folder"
            )
        if self.metrics_port is not None and self.metrics_port == self.port != 0:
            raise ValueError("metrics_port must be another than port")
        if not (self.token_file or self.local or self.open):
            raise ValueError(f"other machines can ask at {self.host}: give a token_file, or say open: true")
        return self

    @property
    def local(self) -> bool:
        """Whether only this machine can reach it."""
        return self.host in LOOPBACK

    @property
    def followed(self) -> tuple[str, str]:
        """The registered model and the alias that is followed; an empty alias for champion and challenger together."""
        match = _FOLLOWED.fullmatch(self.model)
        alias = (match["alias"] or "") if match else ""
        return (match["model"] if match else ""), "" if alias == "champion" else alias

    @property
    def takes_feedback(self) -> bool:
        """Whether labels are taken."""
        return bool(self.model or self.log) if self.feedback is None else self.feedback


def read_settings(given: str) -> Settings:
    """Settings from a file's path, or from a JSON document itself.

    Raises:
        BadInput: It is no such document; the message names what is wrong.
    """
    text, place = given, "the settings"
    if not given.lstrip().startswith("{"):
        with faults(given):
            text, place = Path(given).read_text(encoding="utf-8", errors="replace"), given
    try:
        body: Any = json.loads(text)
        return Settings.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        words = first["msg"].removeprefix("Value error, ")
        raise BadInput(f"{place}: {where + ': ' if where else ''}{words}") from None
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{place}: this is no JSON ({error})") from None
