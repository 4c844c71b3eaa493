"""The kinds of values that a project file is made of: names, columns, durations, references to code, quantities.

Each is a text or a number that pydantic checks; a refusal says what would be right.
"""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, Strict, WithJsonSchema
from pydantic_core import PydanticCustomError

from sluice.core.column_names import LONGEST as LONGEST_COLUMN
from sluice.core.durations import parse_duration
from sluice.core.errors import BadInput
from sluice.core.extensions import split_reference as split_reference
from sluice.core.quantities import check_bytes, check_cores
from sluice.core.variable_kinds import image

_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", re.ASCII)
_EXTENDED = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?/[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", re.ASCII)
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,99}", re.ASCII)
_TABLE = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,99}", re.ASCII)


def refusal(message: str) -> PydanticCustomError:
    """An error of a validator; the message is ready for people, whatever it quotes from a file."""
    return PydanticCustomError("sluice", "{message}", {"message": message})


def is_model_name(text: str) -> bool:
    """Whether a text can name a project, and with it a registered model."""
    return bool(_MODEL.fullmatch(text))


def _check_duration(text: str) -> str:
    try:
        parse_duration(text)
    except ValueError as error:
        raise refusal(str(error)) from None
    return text


def _check_known(text: str) -> str:
    if _WORD.fullmatch(text):
        return text
    if text[:1].isdigit():
        return _check_duration(text)
    raise refusal(
        f"{text[:40]!r} is neither a duration after the row's time, such as 30d, nor the name of a moment of the "
        "data contract, such as ended"
    )


def _check_column(text: str) -> str:
    if not text.strip():
        raise refusal("a column's name is blank; write the name of a column")
    if len(text) > LONGEST_COLUMN:
        raise refusal(f"a column's name has {len(text):,} characters; at most {LONGEST_COLUMN:,} are possible")
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise refusal(f"the column's name {text[:40]!r} holds NUL or half a character; no table can keep it")
    return text


def _check_model(text: str) -> str:
    if not is_model_name(text):
        raise refusal(
            f"{text[:40]!r} cannot name a model; use at most 100 letters, digits, '-', '_' and '.', the first a letter "
            "or digit"
        )
    return text


def _check_table(text: str) -> str:
    if not _TABLE.fullmatch(text):
        raise refusal(f"{text[:40]!r} cannot name a table; use letters, digits and '_', the first a letter")
    return text


def _check_word(text: str) -> str:
    if not _WORD.fullmatch(text):
        raise refusal(f"{text[:40]!r} is no name; use letters, digits, '_' and '-', the first a letter")
    return text


def _check_reference(text: str) -> str:
    if not split_reference(text):
        raise refusal(
            f"{text[:60]!r} names no function of the project; write FILE.py:NAME, such as prepare.py:rows, with the "
            "file's path from the project's folder"
        )
    return text


def _check_extension(text: str) -> str:
    if ":" in text or text.endswith(".py") or "/" in text:
        return _check_reference(text)
    return _check_word(text)


def _check_text(text: str) -> str:
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise refusal(f"{text[:40]!r} holds NUL or half a character; take it away")
    return text


def _as_text(value: Any) -> Any:  # noqa: ANN401 - YAML
    """Numbers of CPUs and bytes may stand without quotes."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:.15g}"
    return value


def _check_cores(text: str) -> str:
    try:
        return check_cores(text)
    except ValueError as error:
        raise refusal(str(error)) from None


def _check_bytes(text: str) -> str:
    try:
        return check_bytes(text)
    except ValueError as error:
        raise refusal(str(error)) from None


def _check_extended(text: str) -> str:
    if not _EXTENDED.fullmatch(text):
        raise refusal(f"{text[:60]!r} is no kind of device that a node offers; write one such as nvidia.com/gpu")
    return text


def _check_image(text: str) -> str:
    try:
        return image("image", text)
    except BadInput as error:
        raise refusal(str(error).removeprefix("image: ")) from None


def _check_class(value: Any) -> Any:  # noqa: ANN401 - YAML
    if not isinstance(value, str | bool | int):
        raise refusal("a class is a text, true or false, or a whole number")
    return value


def _check_shares(value: Any) -> Any:  # noqa: ANN401 - YAML
    """Before pydantic looks at each: a list of another length would be told in its own words."""
    if not isinstance(value, list | tuple) or len(value) != 3:
        raise refusal("write three numbers, for training, validation and test, such as [0.7, 0.15, 0.15]")
    return value


def _check_sum(shares: tuple[float, float, float]) -> tuple[float, float, float]:
    if min(shares) <= 0:
        raise refusal(f"{list(shares)} must hold three numbers above 0")
    if not abs(sum(shares) - 1) <= 1e-6:
        raise refusal(f"{list(shares)} adds up to {sum(shares):.6g}; the three shares must add up to 1")
    return shares


def _quantity(description: str) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "number"}], "description": description})


Text = Annotated[str, AfterValidator(_check_text), Field(max_length=2000)]
Integer = Annotated[int, Strict()]
Number = Annotated[float, Strict(), Field(allow_inf_nan=False)]
ClassValue = Annotated[str | bool | int, BeforeValidator(_check_class)]
Shares = Annotated[tuple[Number, Number, Number], BeforeValidator(_check_shares), AfterValidator(_check_sum)]
ModelName = Annotated[str, AfterValidator(_check_model)]
TableName = Annotated[str, AfterValidator(_check_table)]
ColumnName = Annotated[str, AfterValidator(_check_column)]
Duration = Annotated[str, AfterValidator(_check_duration)]
Known = Annotated[str, AfterValidator(_check_known)]
Extension = Annotated[str, AfterValidator(_check_extension)]
"""What a registry knows by name, or a project's own as `file.py:name`."""
SourceName = Annotated[str, AfterValidator(_check_word)]
"""What a contract calls a source, and an installed package its own."""
Cores = Annotated[str, BeforeValidator(_as_text), AfterValidator(_check_cores), _quantity("Cores: 2, 0.5 or 500m.")]
Bytes = Annotated[str, BeforeValidator(_as_text), AfterValidator(_check_bytes), _quantity("Bytes: 4Gi, 512Mi.")]
Count = Annotated[int, Field(ge=0, le=64, strict=True)]
ExtendedResource = Annotated[str, AfterValidator(_check_extended), Field(max_length=253)]
"""A kind of device as nodes offer it, such as nvidia.com/gpu."""
Image = Annotated[str, AfterValidator(_check_image)]
