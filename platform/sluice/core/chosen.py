"""What a person chooses of a registry: a name, or a name with settings, as a project file and a parameter write it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sluice.core.errors import BadInput
from sluice.core.extensions import Registry, is_reference


@dataclass(frozen=True)
class Chosen:
    """One thing.

    Attributes:
        name: A registry's name, or `file.py:name`.
        settings: What its class or function is given beside what every one is.
    """

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def short(self) -> str:
        """What people call it: `margin` of `mine.py:margin`."""
        return self.name.rpartition(":")[2]


def chosen(parameter: str, value: object) -> Chosen:
    """One choice: `margin`, or `{"margin": {"least": 0.1}}`.

    Args:
        parameter: The parameter's name, for messages.
        value: As it was given.

    Raises:
        BadInput: It is neither.
    """
    if isinstance(value, str) and value:
        return Chosen(value)
    if isinstance(value, Mapping) and len(value) == 1:
        name, settings = next(iter(value.items()))
        if isinstance(name, str) and name and isinstance(settings, Mapping | None):
            return Chosen(name, dict(settings or {}))
    raise BadInput(
        f"parameter {parameter!r} holds {value!r}; write a name, or one name with its settings: "
        '{"NAME": {"key": 1}}'
    )


def all_chosen(parameter: str, values: object, registry: Registry[Any], *, own: Iterable[str] = ()) -> list[Chosen]:
    """A list of choices, each known to a registry or a project's own, no two of the same name.

    Args:
        parameter: The parameter's name, for messages.
        values: As they were given.
        registry: Which knows their names.
        own: Names of Sluice's that they must not have.

    Raises:
        BadInput: It is no list, or one of them is unknown, stands twice, or has a name of Sluice's.
    """
    if not isinstance(values, list | tuple):
        raise BadInput(f"parameter {parameter!r} is {values!r}; write a list of names")
    found = [chosen(parameter, value) for value in values]
    for number, each in enumerate(found):
        _check_name(parameter, each, registry, own)
        if each.short in (other.short for other in found[:number]):
            raise BadInput(f"parameter {parameter!r} names {each.short!r} twice; name it once, or rename one of them")
    return found


def _check_name(parameter: str, each: Chosen, registry: Registry[Any], own: Iterable[str]) -> None:
    registry.check_known(each.name)
    if each.short in own:
        raise BadInput(
            f"parameter {parameter!r} names {each.name!r}, and {each.short!r} is Sluice's own {registry.title}; "
            "give yours another name"
        )


def references(choices: Iterable[Chosen]) -> Iterator[str]:
    """The names among them that a project's code must come along for."""
    return (each.name for each in choices if is_reference(each.name))
