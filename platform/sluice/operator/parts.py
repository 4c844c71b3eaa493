"""What all documents of the operator are made of: their names in JSON, moments, durations, digests."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from sluice.core.durations import parse_duration

GROUP = "sluice.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
NAME = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
"""What Kubernetes takes as the name of an object and of a label's value."""
DURATION = r"^[0-9]{1,6}[wdhms]$"
MODEL = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
SHA256 = r"^[0-9a-f]{64}$"


class Part(BaseModel):
    """A document or a part of one: camelCase in JSON, unknown names refused, never changed in place."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True, allow_inf_nan=False
    )

    def document(self) -> dict[str, Any]:
        """As JSON, without what is not set or as by default."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)


def _in_utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


def _duration(text: str) -> str:
    parse_duration(text)
    return text


Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]
"""A moment with its time zone, kept in UTC."""
Duration = Annotated[str, Field(pattern=DURATION), AfterValidator(_duration)]
"""A duration as people write it: `30d`, `12h`, `90m`."""
Name = Annotated[str, Field(pattern=NAME)]
ModelName = Annotated[str, Field(pattern=MODEL)]
Digest = Annotated[str, Field(pattern=SHA256)]
Count = Annotated[int, Field(ge=0)]
Money = Annotated[float, Field(ge=0)]


def span(text: str) -> timedelta:
    """A duration of a specification."""
    return timedelta(seconds=parse_duration(text))
