"""What a server is told before it starts: one document, made by `sluice serve` or by a chart, refused as a whole."""

import json
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from sluice.core.errors import BadInput
from sluice.core.files import faults
from sluice.serving.limits import Limits

LOOPBACK = ("127.0.0.1", "::1", "localhost")
_Port = Annotated[int, Field(ge=0, le=65535)]


class Settings(BaseModel):
    """Where the model is, where the server listens and what it takes.

    A new part of the server (see `sluice.serving.assembly`) adds its settings here, with a default that leaves it out.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    folder: Annotated[Path, Field(description="The served model's folder.")]
    name: Annotated[str, Field(description="MODEL/version: how answers, logs and metrics name it.")]
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
        if self.metrics_port is not None and self.metrics_port == self.port != 0:
            raise ValueError("metrics_port must be another than port")
        if not (self.token_file or self.local or self.open):
            raise ValueError(f"other machines can ask at {self.host}: give a token_file, or say open: true")
        return self

    @property
    def local(self) -> bool:
        """Whether only this machine can reach it."""
        return self.host in LOOPBACK


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
        raise BadInput(f"{place}: {where + ': ' if where else ''}{first['msg']}") from None
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{place}: this is no JSON ({error})") from None
