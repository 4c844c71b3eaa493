"""What a setting is: a typed field of a group that is read from environment variables, told once and for all.

A group is frozen: it is made of the texts that its variables had at one moment, and is handed to whoever works by them.
A field is read, and checked, when it is first asked for: what a command has no use for cannot stop it. An empty
variable counts as one that is not set. `sluice.core.settings` lists the groups; docs/settings.md is made of them.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar, Generic, NoReturn, Self, TypeVar, overload

from sluice.core.environment import variable_text

T = TypeVar("T")


class SetBy(Enum):
    """Who sets a variable, as the head of its table in docs/settings.md says it."""

    USER = "user"
    SLUICE = "sluice"
    SERVER = "server"
    SYSTEM = "system"


@dataclass(frozen=True)
class Told:
    """What docs/settings.md says of a variable; of one without a meaning the row above speaks as well.

    Attributes:
        meaning: What it sets, in Markdown.
        default: What holds without it, in Markdown; for the users' table.
        by: Who sets it.
    """

    meaning: str = ""
    default: str = ""
    by: SetBy = SetBy.USER


class Secret:
    """A text that no message, log or representation shows."""

    def __init__(self, text: str = "") -> None:
        self._text = text

    def reveal(self) -> str:
        """The text, for who it is meant for."""
        return self._text

    def __bool__(self) -> bool:
        """Whether there is one."""
        return bool(self._text)

    def __repr__(self) -> str:
        """Nothing of it, also where it is formatted."""
        return "***"


class Variable(Generic[T]):
    """One field of a group; asked of the group's class it is itself, asked of a group it is the value."""

    def __init__(self, *names: str, read: Callable[[str, str], T], default: T, told: Told) -> None:
        """Nothing is read yet.

        Args:
            names: Of the environment variables; the first one that is set wins.
            read: Makes the value of a variable's name and its text, which is not empty; raises BadInput.
            default: The value where none is set.
            told: For docs/settings.md.
        """
        self.names, self.default, self.told = names, default, told
        self._read = read
        self._group: type[VariableGroup] = VariableGroup
        self._field = ""

    @property
    def name(self) -> str:
        """The variable's name; the first where there are several."""
        return self.names[0]

    @property
    def is_secret(self) -> bool:
        """Whether its value is shown nowhere."""
        return isinstance(self.default, Secret)

    def now(self) -> T:
        """The value in this process.

        Raises:
            BadInput: The variable holds something else.
        """
        value: T = getattr(self._group.now(), self._field)
        return value

    def value_of(self, name: str, text: str) -> T:
        """The value of a variable's text.

        Raises:
            BadInput: The variable holds something else.
        """
        return self._read(name, text) if text else self.default

    def __set_name__(self, owner: type["VariableGroup"], field: str) -> None:
        """Learn which group this is a field of."""
        self._group, self._field = owner, field

    def __str__(self) -> str:
        """The name, as messages call it."""
        return self.name

    @overload
    def __get__(self, group: None, owner: type) -> Self: ...
    @overload
    def __get__(self, group: "VariableGroup", owner: type) -> T: ...
    def __get__(self, group: "VariableGroup | None", owner: type) -> "Self | T":
        """The field, or its value."""
        return self if group is None else group.value(self)

    def __set__(self, group: "VariableGroup", value: object) -> NoReturn:
        """A group stays as it is."""
        raise AttributeError(f"settings are read only: {self.name}")


class VariableGroup:
    """Variables that are read together; frozen, and never shown but for the names of what is set."""

    _last: ClassVar[tuple[tuple[str | None, ...], Any] | None] = None
    _names: ClassVar[tuple[str, ...]] = ()

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Keep what the group is about.

        Args:
            environment: Variables; others may be among them.
        """
        self._texts = {name: environment[name] for name in self._names if name in environment}
        self._values: dict[Variable[Any], Any] = {}

    def __init_subclass__(cls) -> None:
        """Learn the fields."""
        cls._names = tuple(name for field in cls.fields() for name in field.names)
        cls._last = None

    @classmethod
    def fields(cls) -> Iterator[Variable[Any]]:
        """The fields, as they stand in the class."""
        return (field for field in vars(cls).values() if isinstance(field, Variable))

    @classmethod
    def now(cls) -> Self:
        """The group of this process; the same object for as long as its variables stay as they are."""
        texts = tuple(map(variable_text, cls._names))
        last = cls._last
        if last is None or last[0] != texts:
            given = {name: text for name, text in zip(cls._names, texts, strict=True) if text is not None}
            last = cls._last = (texts, cls(given))
        found: Self = last[1]
        return found

    def value(self, field: Variable[T]) -> T:
        """A field's value.

        Raises:
            BadInput: The variable holds something else.
        """
        if field not in self._values:
            name = self.name_of(field)
            self._values[field] = field.value_of(name, self._texts.get(name, ""))
        found: T = self._values[field]
        return found

    def name_of(self, field: Variable[Any]) -> str:
        """Which of a field's variables gives its value: the first that is set, else the first."""
        return next((name for name in field.names if self._texts.get(name)), field.name)

    def is_set(self, field: Variable[Any]) -> bool:
        """Whether one of a field's variables is set; its value is not read, and so may be wrong."""
        return any(self._texts.get(name) for name in field.names)

    def is_there(self, field: Variable[Any]) -> bool:
        """Whether one of a field's variables is there, though it may be empty."""
        return any(name in self._texts for name in field.names)

    def texts(self, *fields: Variable[Any]) -> dict[str, str]:
        """The variables of these fields that are set, as another process would be given them."""
        return {name: self._texts[name] for field in fields for name in field.names if self._texts.get(name)}

    def __repr__(self) -> str:
        """Names alone: a value may be a secret."""
        return f"{type(self).__name__}({', '.join(name for name, text in self._texts.items() if text)})"
