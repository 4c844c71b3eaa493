"""`metadata.jsonl`: one JSON object a line, which names an image, its label and its digest."""

from dataclasses import dataclass

from sluice.core.errors import BadInput
from sluice.core.json_documents import parse_json
from sluice.core.plain_text import is_unicode
from sluice.storage.keys import check_key

METADATA = "metadata.jsonl"
CLASSES = tuple("0123456789")
_FIELDS = {"id": str, "file": str, "label": int, "sha256": str}


@dataclass(frozen=True)
class ImageLine:
    """One line.

    Attributes:
        number: The line's number, from 1.
        id: Identifies the image.
        file: Its key in the lake.
        label: The class code, 0 to 9.
        sha256: Hex digest of the file.
    """

    number: int
    id: str
    file: str
    label: int
    sha256: str


def parse_metadata(data: bytes, where: str) -> list[ImageLine]:
    """Read the lines, ordered by id.

    Args:
        data: The file's bytes.
        where: Its address, for errors.

    Raises:
        BadInput: It is not UTF-8, a line is no such object, an id stands twice, or there is no line.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadInput(f"{where} is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    lines = [_line(line, number, where) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not lines:
        raise BadInput(f"{where} is empty; write one JSON object a line, with {', '.join(_FIELDS)}")
    seen: dict[str, int] = {}
    for line in lines:
        if line.id in seen:
            raise BadInput(f"{where}, line {line.number}: id {line.id!r} also stands on line {seen[line.id]}")
        seen[line.id] = line.number
    return sorted(lines, key=lambda line: line.id)


def _line(text: str, number: int, where: str) -> ImageLine:
    place = f"{where}, line {number}"
    try:
        body = parse_json(text.encode(), place)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{place} is not JSON ({error}); write one object a line") from None
    if not isinstance(body, dict):
        raise BadInput(f"{place} is no JSON object; write one object a line")
    for field, kind in _FIELDS.items():
        if type(body.get(field)) is not kind:
            raise BadInput(f"{place}: field {field!r} must be {kind.__name__}, and is {body.get(field)!r}")
        if not is_unicode(str(body[field])):
            raise BadInput(f"{place}: field {field!r} is {body[field]!r}, which holds half a character; write it whole")
    if not 0 <= body["label"] < len(CLASSES):
        raise BadInput(f"{place}: label {body['label']} is outside 0 to {len(CLASSES) - 1}")
    try:
        check_key(body["file"])
    except BadInput:
        raise BadInput(f"{place}: file {body['file']!r} must be a path inside the lake") from None
    return ImageLine(number, **{field: body[field] for field in _FIELDS})
