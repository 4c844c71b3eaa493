"""What pydantic finds wrong with a declaration, in words for the person who wrote it."""

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

Place = tuple[str | int, ...]
"""Where an entry stands, as keys and positions: `("rows", "key", 0)`."""

_EXAMPLES = {
    "name": "name: houses",
    "data": "data: data",
    "rows": "rows: {table: houses}",
    "label": "label: {column: price}",
    "table": "table: houses",
    "column": "column: price",
}
_NUMBERS = {"greater_than": "above {gt}", "greater_than_equal": "at least {ge}", "less_than_equal": "at most {le}"}
_NUMBERS |= {"less_than": "below {lt}"}


@dataclass(frozen=True)
class Wrong:
    """One thing that is wrong.

    Attributes:
        place: The entry.
        message: What is wrong with it, and the way out.
    """

    place: Place
    message: str

    def named(self) -> str:
        """The message with the entry's name before it."""
        name = place_text(self.place)
        return f"{name}: {self.message}" if name else self.message


def place_text(place: Place) -> str:
    """An entry's name for a person: `rows.key[0]`."""
    text = ""
    for step in place:
        text += f"[{step}]" if isinstance(step, int) else f".{str(step)[:80]}"
    return text.removeprefix(".")


def near(word: str, known: Iterable[str]) -> str:
    """` (did you mean 'x'?)` where a known word is close, else nothing."""
    close = difflib.get_close_matches(word[:80], list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def wrong_keys(error: ValidationError, model: type[BaseModel]) -> list[Wrong]:
    """All that a validation found, each thing once, in its order.

    Args:
        error: Of the validation of `model`.
        model: The outermost model; its fields and those of the models in it are what may stand there.
    """
    found: dict[Wrong, None] = {}
    # A key that is unknown explains one that is missing: it may be a slip of the hand.
    for each in sorted(error.errors(include_url=False), key=lambda one: one["type"] == "missing"):
        place: Place = tuple(step for step in each["loc"] if step != "[key]")
        if each["type"] == "finite_number" and place[-1] == "float":  # of a JSON value, whose kind pydantic adds
            place = place[:-1]
        for wrong in _told(each, place, model):
            found.setdefault(wrong)
    return list(found)


def _told(error: Mapping[str, Any], place: Place, model: type[BaseModel]) -> Iterator[Wrong]:
    kind, context = error["type"], error.get("ctx", {})
    if kind == "sluice_problems":
        for inner, message in context["problems"]:
            yield Wrong((*place, *inner), message)
    elif kind == "extra_forbidden":
        parent = model_at(model, place[:-1])
        yield Wrong(place, _unknown(str(place[-1]), parent, model))
    elif kind == "missing":
        name = str(place[-1])
        yield Wrong(place[:-1], f"{name} is missing; write {_EXAMPLES.get(name, name)}")
    else:
        yield Wrong(place, _value_message(kind, error, context))


def _value_message(kind: str, error: Mapping[str, Any], context: Mapping[str, Any]) -> str:
    given = error["input"]
    if kind == "sluice":
        return str(context["message"])
    if kind == "literal_error":
        return _not_offered(given, str(context["expected"]))
    if kind in _NUMBERS:
        return f"{shown(given)} is out of range; give a number {_NUMBERS[kind].format(**context)}"
    if kind == "string_type":
        quotes = "write it in quotes" if isinstance(given, int | float) else "write text"
        return f"{shown(given)} is {kind_of(given)} where text is wanted; {quotes}"
    if kind in ("string_too_short", "string_too_long"):
        bound = context.get("max_length")
        return f"longer than {bound} characters; shorten it" if bound else "empty; write text"
    if kind in ("tuple_type", "list_type"):
        return f"{shown(given)} is {kind_of(given)} where a list is wanted; write [{_item(given)}]"
    if kind.startswith(("int_", "float_")) or kind == "finite_number":
        wanted = "a whole number" if kind.startswith("int_") else "a finite number"
        return f"{shown(given)} is {kind_of(given)} where {wanted} is wanted{_without_quotes(given)}"
    if kind in ("model_type", "dict_type", "model_attributes_type"):
        return f"{shown(given)} is {kind_of(given)} where a mapping is wanted, such as {{name: value}}"
    words = str(error["msg"]).removeprefix("Value error, ")
    return f"{shown(given)}: {words[:1].lower()}{words[1:]}"


def _without_quotes(given: object) -> str:
    try:
        return "; write it without quotes" if isinstance(given, str) and float(given) == float(given) else ""
    except ValueError:
        return ""


def _not_offered(given: object, expected: str) -> str:
    offered = [word.strip("' ") for word in expected.replace(" or ", ", ").split(", ")]
    hint = near(given, offered) if isinstance(given, str) else ""
    return f"{shown(given)} is unknown{hint}; use {', '.join(offered[:-1])} or {offered[-1]}"


def _unknown(key: str, parent: type[BaseModel] | None, model: type[BaseModel]) -> str:
    known = names_of(parent) if parent else []
    hint = near(key, known)
    if hint:
        return f"unknown key{hint}"
    if home := next(_homes(key, model), None):
        return f"unknown key; it belongs under {home}"
    return f"unknown key; known here: {', '.join(known)}"


def _homes(key: str, model: type[BaseModel], path: str = "") -> Iterator[str]:
    """Where else a key of this name may stand."""
    for name, field in model.model_fields.items():
        inner = _inner_model(field.annotation)
        if inner is not None:
            here = f"{path}.{name}".removeprefix(".")
            if key in names_of(inner):
                yield here
            yield from _homes(key, inner, here)


def names_of(model: type[BaseModel]) -> list[str]:
    """The keys of a model as they are written."""
    return [field.alias or name for name, field in model.model_fields.items()]


def model_at(model: type[BaseModel], place: Sequence[str | int]) -> type[BaseModel] | None:
    """The model that stands at a place within another, or None where there is none."""
    found: type[BaseModel] | None = model
    for step in place:
        if found is None:
            return None
        field = next((f for name, f in found.model_fields.items() if step in (name, f.alias)), None)
        if field is not None:
            found = _inner_model(field.annotation)
        elif not isinstance(step, int) and step in names_of(found):
            return None
    return found


def _inner_model(annotation: Any) -> type[BaseModel] | None:  # noqa: ANN401 - a type
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((inner for part in get_args(annotation) if (inner := _inner_model(part))), None)


def shown(value: object) -> str:
    """A value as a message can show it."""
    if value is None or isinstance(value, bool):
        return str(value).lower() if value is not None else "null"
    text = repr(value) if not isinstance(value, int) or value.bit_length() < 200 else "a very large number"
    return text if len(text) <= 60 else f"{text[:60]}…"


def kind_of(value: object) -> str:
    """What kind of value YAML read."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    return "text" if isinstance(value, str) else "a mapping" if isinstance(value, Mapping) else "a list"


def _item(given: object) -> str:
    return str(given)[:60] if isinstance(given, str | int | float) else "a, b"
