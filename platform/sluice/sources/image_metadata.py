"""`metadata.jsonl`: one JSON object a line, which names an image, its label and its digest."""

from dataclasses import dataclass

from sluice.core.errors import BadInput
from sluice.core.json_documents import parse_json
from sluice.core.plain_text import is_unicode
from sluice.storage.keys import check_key

METADATA = "metadata.jsonl"
FIELDS = ("id", "file", "sha256")
"""What a line holds beside the label."""
_LABELS = {str: "text", int: "a whole number", bool: "true or false"}


@dataclass(frozen=True)
class ImageLine:
    """One line.

    Attributes:
        number: The line's number, from 1.
        id: Identifies the image.
        file: Its key in the lake.
        label: The class: text, a whole number, or a truth value.
        sha256: Hex digest of the file.
    """

    number: int
    id: str
    file: str
    label: str | int | bool
    sha256: str


def parse_metadata(data: bytes, where: str, label: str) -> list[ImageLine]:
    """Read the lines, ordered by id.

    Args:
        data: The file's bytes.
        where: Its address, for errors.
        label: The field with the label.

    Raises:
        BadInput: It is not UTF-8, a line is no such object, an id stands twice, labels are of several kinds, or there
            is no line.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadInput(f"{where} is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    lines = [_line(line, number, where, label) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not lines:
        raise BadInput(f"{where} is empty; write one JSON object a line, with {', '.join((*FIELDS, label))}")
    seen: dict[str, int] = {}
    for line in lines:
        if line.id in seen:
            raise BadInput(f"{where}, line {line.number}: id {line.id!r} also stands on line {seen[line.id]}")
        seen[line.id] = line.number
        if type(line.label) is not type(lines[0].label):
            kinds = (_LABELS[type(each.label)] for each in (line, lines[0]))
            raise BadInput(
                f"{where}, line {line.number}: field {label!r} is {line.label!r}, {next(kinds)}, but on line "
                f"{lines[0].number} {next(kinds)}; give all labels one type"
            )
    return sorted(lines, key=lambda line: line.id)


def _line(text: str, number: int, where: str, label: str) -> ImageLine:
    place = f"{where}, line {number}"
    try:
        body = parse_json(text.encode(), place)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{place} is not JSON ({error}); write one object a line") from None
    if not isinstance(body, dict):
        raise BadInput(f"{place} is no JSON object; write one object a line")
    for field in FIELDS:
        if type(body.get(field)) is not str:
            raise BadInput(f"{place}: field {field!r} must be text, and is {body.get(field)!r}")
    if type(body.get(label)) not in _LABELS:
        kinds = ", ".join(_LABELS.values())
        raise BadInput(f"{place}: field {label!r}, the label, must be {kinds}, and is {body.get(label)!r}")
    for field in (*FIELDS, label):
        if not is_unicode(str(body[field])):
            raise BadInput(f"{place}: field {field!r} is {body[field]!r}, which holds half a character; write it whole")
    try:
        check_key(body["file"])
    except BadInput:
        raise BadInput(f"{place}: file {body['file']!r} must be a path inside the lake") from None
    return ImageLine(number, body["id"], body["file"], body[label], body["sha256"])
