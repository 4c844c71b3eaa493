"""YAML as people write it in a data contract: version 1.2's core schema, bounded, nothing that could mean two things.

PyYAML itself reads version 1.1, where `NO` is false and `12:30` is 750, takes the last of two equal keys, and lets a
few aliases stand for gigabytes. Here its parser only gives events; what they mean is decided below.

Source: YAML 1.2.2, section 10.3.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from sluice.core import bounds
from sluice.core.errors import BadInput

MOST_BYTES = bounds.CONTRACT_BYTES.default
MOST_EXPANDED = bounds.CONTRACT_EXPANDED.default
DEEPEST = bounds.CONTRACT_LEVELS.default
_VALUE = 8
_TOO_LARGE = f"more than {MOST_EXPANDED >> 20} MiB with aliases counted as what they stand for; write fewer of them"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # many times as fast, where libyaml is there
_STRING = ("!", "tag:yaml.org,2002:str")
_WORDS: dict[str, bool | None] = (
    dict.fromkeys(("", "~", "null", "Null", "NULL"))
    | dict.fromkeys(("true", "True", "TRUE"), True)
    | dict.fromkeys(("false", "False", "FALSE"), False)
)
_INTEGER = re.compile(r"[-+]?[0-9]+")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NO_NUMBER = re.compile(r"([-+]?)\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


def parse_yaml(text: str, where: str) -> Any:  # noqa: ANN401 - YAML
    """The one document of a text, as dictionaries with strings as keys, lists, strings, numbers, booleans and None.

    Args:
        text: At most `MOST_BYTES` long.
        where: The file's name, for errors.

    Raises:
        BadInput: It is not YAML, holds a key twice or an ambiguous number, has a tag or several documents, or would
            nest deeper than `DEEPEST` levels or grow beyond `MOST_EXPANDED` with its aliases, where each value counts
            as its characters and 8 more.
    """
    return parse_with_lines(text, where)[0]


class Lines:
    """On which line each entry of a document stands.

    An entry that an alias brings stands where its anchor is.
    """

    def __init__(self) -> None:
        self._document: Any = None
        self._known: dict[int, dict[str, int] | list[int]] = {}

    def keep(self, container: dict[str, Any] | list[Any], lines: dict[str, int] | list[int]) -> None:
        """Remember the lines of the entries of a list or mapping of the document."""
        self._known[id(container)] = lines  # the document holds it, so the number stays its own

    def begin(self, document: Any) -> None:  # noqa: ANN401 - YAML
        """Take the document that the places of `of` begin with."""
        self._document = document

    def of(self, place: Sequence[str | int]) -> int | None:
        """The line of an entry, by the keys and positions that lead to it.

        Of a place that is not there it is that of its nearest parent that is; None where there is no such either.
        """
        inner, line = self._document, None
        for step in place:
            known = self._known.get(id(inner))
            if isinstance(known, dict) and step in known and isinstance(inner, dict):
                line, inner = known[str(step)], inner[str(step)]
            elif isinstance(known, list) and isinstance(step, int) and step < len(known):
                line, inner = known[step], inner[step]
            else:
                break
        return line


def parse_with_lines(text: str, where: str) -> tuple[Any, Lines]:
    """The document of a text, as `parse_yaml` reads it, and the line of each of its entries.

    Raises:
        BadInput: See `parse_yaml`.
    """
    if len(text.encode("utf-8", "surrogatepass")) > MOST_BYTES:
        raise BadInput(f"{where} is larger than {MOST_BYTES >> 20} MiB, the most that is read; make it smaller")
    reader = _Reader(where)
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            reader.take(event)
    except yaml.YAMLError as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
        place = f"line {mark.line + 1}: " if mark else ""
        raise BadInput(f"{where} is not YAML: {place}{problem or error}") from None
    reader.lines.begin(reader.document)
    return reader.document, reader.lines


@dataclass
class _Open:
    """A list or mapping that is being read.

    Attributes:
        value: What it holds so far.
        anchor: The name by which aliases call it, or None.
        size: Of what it holds so far, as if no alias were used.
        begins: The line with which it begins.
        key: In a mapping, the key whose value comes next.
        lines: In a mapping, the line of each key.
        places: In a list, the line of each entry.
    """

    value: dict[str, Any] | list[Any]
    anchor: str | None
    begins: int
    size: int = _VALUE
    key: str | None = None
    lines: dict[str, int] = field(default_factory=dict)
    places: list[int] = field(default_factory=list)


class _Reader:
    """Builds the document, event by event: nothing here calls itself, however deep a text nests."""

    def __init__(self, where: str) -> None:
        self.document: Any = None
        self.lines = Lines()
        self._where, self._open, self._documents = where, list[_Open](), 0
        self._named: dict[str, tuple[Any, int]] = {}

    def take(self, event: yaml.Event) -> None:
        line = event.start_mark.line + 1 if event.start_mark else 1
        match event:
            case yaml.DocumentStartEvent():
                self._documents += 1
                self._check(self._documents == 1, line, "a second document begins; keep one")
            case yaml.ScalarEvent():
                value = self._scalar(event, line)
                self._name(event.anchor, value, _VALUE + len(event.value))
                self._add(value, _VALUE + len(event.value), line)
            case yaml.AliasEvent():
                known = self._named.get(event.anchor or "")
                if known is None:
                    raise BadInput(f"{self._where}, line {line}: alias *{event.anchor} names nothing whole before it")
                self._add(*known, line)
            case yaml.SequenceStartEvent() | yaml.MappingStartEvent():
                self._begin(event, line)
            case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                ended = self._open.pop()
                self.lines.keep(ended.value, ended.lines if isinstance(ended.value, dict) else ended.places)
                self._name(ended.anchor, ended.value, ended.size)
                self._add(ended.value, ended.size, ended.begins)

    def _begin(self, event: yaml.CollectionStartEvent, line: int) -> None:
        self._check(event.tag is None, line, f"tag {event.tag} is not read; take it away")
        self._check(len(self._open) < DEEPEST, line, f"nested deeper than {DEEPEST} levels, the most that is read")
        value: dict[str, Any] | list[Any] = {} if isinstance(event, yaml.MappingStartEvent) else []
        self._open.append(_Open(value, event.anchor, line))

    def _name(self, anchor: str | None, value: Any, size: int) -> None:  # noqa: ANN401 - YAML
        if anchor:
            self._named[anchor] = (value, size)

    def _add(self, value: Any, size: int, line: int) -> None:  # noqa: ANN401 - YAML
        if not self._open:
            self.document = value
            return
        parent = self._open[-1]
        parent.size += size
        self._check(parent.size <= MOST_EXPANDED, line, _TOO_LARGE)
        if isinstance(parent.value, list):
            parent.value.append(value)
            parent.places.append(line)
        elif parent.key is None:
            self._begin_entry(parent, value, line)
        else:
            parent.value[parent.key], parent.key = value, None

    def _begin_entry(self, mapping: _Open, key: Any, line: int) -> None:  # noqa: ANN401 - YAML
        if not isinstance(key, str):
            kind = _kind(key)
            raise BadInput(
                f"{self._where}, line {line}: the name {str(key)[:40]!r} is read as {kind}; write it in quotes"
            )
        before = mapping.lines.setdefault(key, line)
        twice = f"{key[:80]!r} stands there twice, first on line {before}; keep one"
        self._check(key not in mapping.value, line, twice)
        mapping.value[key] = None  # type: ignore[call-overload]  # a mapping, as only those have keys
        mapping.key = key

    def _scalar(self, event: yaml.ScalarEvent, line: int) -> Any:  # noqa: ANN401 - YAML
        text: str = event.value
        if event.style and event.tag in (None, *_STRING):
            return text
        if event.tag is not None:
            self._check(event.tag in _STRING, line, f"tag {event.tag} is not read; take it away")
            return text
        if _LEADING_ZERO.fullmatch(text):
            reason = f"{text[:40]} is octal to some readers and decimal to others; write it in quotes, or without the 0"
            raise BadInput(f"{self._where}, line {line}: {reason}")
        return _plain(text)

    def _check(self, good: bool, line: int, reason: str) -> None:
        if not good:
            raise BadInput(f"{self._where}, line {line}: {reason}")


def _plain(text: str) -> Any:  # noqa: ANN401 - YAML
    """What a text without quotes means in the core schema."""
    if text in _WORDS:
        return _WORDS[text]
    if len(text) > 400:  # no number that a contract could mean, and Python refuses to read more digits
        return text
    if _INTEGER.fullmatch(text):
        return int(text)
    if _BASED.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        return float(text)
    if found := _NO_NUMBER.fullmatch(text):
        return float(f"{found[1] or ''}inf") if found[2] else float("nan")
    return text


def _kind(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true or false"
    return "a number" if isinstance(value, int | float) else "a list or mapping"


def quoted_text(value: object, where: str) -> str:
    """A value that must be text; what YAML takes for something else is refused.

    Args:
        value: As it was read.
        where: The file and the field, for the message.

    Raises:
        BadInput: It is no text.
    """
    if isinstance(value, str):
        return value
    way_out = "write text" if value is None or isinstance(value, list | dict) else "write it in quotes"
    raise BadInput(f"{where} {str(value)[:40]!r} is {_kind(value)} where text is wanted; {way_out}")
