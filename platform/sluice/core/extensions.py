"""Registries: what Sluice offers by name, and what others add to it without changing it.

    METRICS: Registry[Metric] = Registry("metrics", Metric, {"rmse": "sluice.evaluation.metrics:Rmse"}, title="metric")
    METRICS.get("rmse")                                    # Sluice's own; its module is imported now, not before
    METRICS.get("mine.py:revenue", code)                   # a project's own file
    METRICS.get("poisson")                                 # an installed package's, by an entry point:

    [project.entry-points."sluice.metrics"]                # in that package's pyproject.toml
    poisson = "acme_metrics.poisson:Poisson"

Whatever it is, it is held to the registry's protocol before it is used, and what does not fit is refused in one line
that says where it is defined and what is missing. A class is called to make the object, with the settings that the user
gave it; a function gets them as its further arguments, by name; any other object is taken as it is.
"""

import difflib
import functools
import importlib
import importlib.metadata
import inspect
import re
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, cast
from weakref import WeakSet

from sluice.core.errors import BadInput, SluiceError
from sluice.core.lifeline import Stopped

GROUP = "sluice."
"""What the name of an entry points' group begins with: `sluice.metrics`."""
PACKAGE = "the package "
"""How the origin begins of what an installed package brings: `the package acme 1.5`."""
T = TypeVar("T")
_PLAIN: dict[Any, tuple[type, ...]] = {
    str: (str,),
    bool: (bool,),
    int: (int,),
    float: (float, int),
    bytes: (bytes,),
    tuple: (tuple,),
    dict: (dict,),
    list: (list,),
}
"""What a protocol's attribute may be where it says one of these types; other types are not looked into."""
_LONGEST = 80  # characters of a value that a message shows
_REFERENCE = re.compile(r"((?:[A-Za-z0-9_-]+/)*[A-Za-z_][A-Za-z0-9_]*\.py):([A-Za-z_][A-Za-z0-9_]*)", re.ASCII)
_SKIPPED = frozenset({"Protocol", "Generic", "object"})


class Code(Protocol):
    """What a registry needs of a project's code; `sluice.project.code.ProjectCode` has it."""

    def load(self, reference: str) -> Any:  # noqa: ANN401 - whatever the user wrote
        """What `file.py:name` names."""
        ...

    def blamed(self, what: str) -> AbstractContextManager[None]:
        """Turns what the user's code raises into one line with its file and line."""
        ...

    def place_of(self, thing: Any) -> str:  # noqa: ANN401 - as above
        """Where a thing is defined: `mine.py:12`, or an empty text."""
        ...


@dataclass(frozen=True)
class Offer:
    """One thing that a registry knows by name.

    Attributes:
        name: By which it is asked for.
        target: `module:name`, imported when it is asked for.
        origin: `Sluice`, or the package that brings it with its version.
    """

    name: str
    target: str
    origin: str


@dataclass(frozen=True)
class Opened(Generic[T]):
    """Something of another's that fits its protocol, and how its faults are told.

    Attributes:
        thing: The object, or the function.
        what: What it is and where it is defined, for messages: `gate check mine.py:margin (mine.py:12)`.
        blamed: Gives a context that turns what the other's code raises into one line.
    """

    thing: T
    what: str
    blamed: Callable[[], AbstractContextManager[None]]

    def gave(self, value: object, way_out: str) -> BadInput:
        """The refusal of what it returned.

        Args:
            value: What that was.
            way_out: What it should return, as a request.
        """
        shown = repr(value)
        kind = type(value).__name__
        said = kind if len(shown) > _LONGEST or "\n" in shown else f"{shown} ({kind})"
        return BadInput(f"{self.what}: it gave {said}; {way_out}")


_registries: "WeakSet[Registry[Any]]" = WeakSet()


def look_anew() -> None:
    """Have every registry look again at what is installed: packages were put on Python's path."""
    for registry in _registries:
        vars(registry).pop("_offers", None)


class Registry(Generic[T]):
    """Things of one kind, by name or by a reference into a project.

    Args:
        group: In the plural, such as `metrics`; entry points stand under `sluice.metrics`.
        protocol: What each must have: a class of the kind `typing.Protocol`, whose methods and attributes are looked
            for. A protocol with `__call__` alone takes functions.
        builtins: Sluice's own: `module:name` by name.
        title: For messages, in the singular: `metric`. By default the group without its last letter.
    """

    def __init__(self, group: str, protocol: type[Any], builtins: Mapping[str, str], *, title: str = "") -> None:
        self.group, self.title = group, title or group.removesuffix("s")
        self._protocol, self._builtins = protocol, dict(builtins)
        _registries.add(self)

    def names(self) -> list[str]:
        """What can be asked for by name here, sorted; nothing is imported."""
        return sorted(self._offers)

    def offers(self) -> list[Offer]:
        """The same with where it comes from; a name that two packages bring stands there twice."""
        return [offer for name in self.names() for offer in self._offers[name]]

    def get(self, name: str, code: Code | None = None, settings: Mapping[str, Any] | None = None) -> T:
        """One of them, held to the protocol.

        Args:
            name: A name that `names` lists, or `file.py:name` of the project.
            code: The project's code, for the second.
            settings: What its class is called with, by the names of its parameters.

        Raises:
            BadInput: There is none of that name, two packages bring it, it cannot be loaded, does not fit the protocol
                or takes other settings. The message names file and line, or the package.
        """
        return self.opened(name, code, settings).thing

    def opened(self, name: str, code: Code | None = None, settings: Mapping[str, Any] | None = None) -> Opened[T]:
        """The same with how its faults are told; see `get`."""
        if is_reference(name):
            if code is None:
                raise BadInput(
                    f"{self.title} {name!r} is a project's own, and there is no project here; run it from its folder"
                )
            found = code.load(name)
            where = code.place_of(found)
            what = f"{self.title} {name}" + (f" ({where})" if where else "")
            thing = self._fitting(found, what, code, settings)
            return Opened(thing, what, functools.partial(code.blamed, f"{self.title} {name}"))
        offer = self._offer(name)
        what = f"{self.title} {name!r} of {offer.origin} ({offer.target})"
        with _named(f"{what} cannot be loaded"):
            found = _load(offer.target)
        return Opened(self._fitting(found, what, None, settings), what, functools.partial(_named, what))

    def check_known(self, name: str) -> None:
        """Refuse a name that nobody brings; a project's own file is not looked into.

        Raises:
            BadInput: With the nearest name.
        """
        if not is_reference(name):
            self._offer(name)

    def origin(self, name: str) -> str:
        """Who brings a thing, such as `the package acme 1.5`; an empty text where nobody does."""
        return " and ".join(offer.origin for offer in self._offers.get(name, []))

    @functools.cached_property
    def _offers(self) -> dict[str, list[Offer]]:
        found = {name: [Offer(name, target, "Sluice")] for name, target in self._builtins.items()}
        for entry in importlib.metadata.entry_points(group=f"{GROUP}{self.group}"):
            origin = f"{PACKAGE}{entry.dist.name} {entry.dist.version}" if entry.dist else "an installed package"
            offer = Offer(entry.name, entry.value, origin)
            if offer not in (same := found.setdefault(entry.name, [])):  # a folder twice on the path lists it twice
                same.append(offer)
        return found

    def _offer(self, name: str) -> Offer:
        if name not in self._offers:
            raise BadInput(
                f"{self.title} {name!r} is unknown{near(name, self.names())} (a project's own is written FILE.py:NAME; "
                "another's needs its package installed here)"
            )
        offers = self._offers[name]
        if len(offers) > 1:
            raise BadInput(
                f"{self.title} {name!r} is brought by {' and by '.join(offer.origin for offer in offers)}; "
                "remove one of these packages, or have it use another name"
            )
        return offers[0]

    def _fitting(self, found: Any, what: str, code: Code | None, settings: Mapping[str, Any] | None) -> T:  # noqa: ANN401
        with code.blamed(what) if code else _named(what):
            given = dict(settings or {})
            made = _made(found, what, given) if inspect.isclass(found) else _plain(found, what, given, self._protocol)
            check_fits(made, self._protocol, what)
        return cast("T", made)


def extension_modules() -> set[str]:
    """The top-level modules of all installed packages that offer something to a registry; none is imported.

    Results that are reused must not outlive a change of such a package that is installed to be edited.
    """
    return {entry.module.partition(".")[0] for entry in _all_entries()}


def extension_packages() -> set[str]:
    """The names of these packages, as they write them."""
    return {entry.dist.name for entry in _all_entries() if entry.dist}


def _all_entries() -> Iterator[importlib.metadata.EntryPoint]:
    found = importlib.metadata.entry_points()
    for group in found.groups:
        if group.startswith(GROUP):
            yield from found.select(group=group)


def split_reference(text: str) -> tuple[str, str] | None:
    """`('train/mine.py', 'Net')` of `train/mine.py:Net`; None for a text that refers to no file of a project."""
    found = _REFERENCE.fullmatch(text)
    return (found[1], found[2]) if found else None


def is_reference(name: str) -> bool:
    """Whether a text refers to a project's file rather than to a registry's name."""
    return ":" in name or "/" in name or name.endswith(".py")


def near(word: str, known: Sequence[str]) -> str:
    """`; did you mean 'x'?` where a known word is close, else the words themselves."""
    if close := difflib.get_close_matches(word.lower(), known, n=1):
        return f"; did you mean {close[0]!r}?" if len(known) > 1 else f"; there is {close[0]!r}"
    return f"; there is {', '.join(known)}" if known else "; there is none yet"


def check_fits(thing: object, protocol: type[Any], what: str) -> None:
    """Hold an object to a protocol: its attributes with their types, its methods with what they are called with.

    Args:
        thing: The object, or a function for a protocol with `__call__` alone.
        protocol: The protocol.
        what: What the object is, for the message.

    Raises:
        BadInput: It names the attribute or the method, and how the method is called.
    """
    members = dict(_members(protocol))
    for name, wanted in members.items():
        if not hasattr(thing, name):
            called = {each: _call(value) if inspect.isfunction(value) else "" for each, value in members.items()}
            needs = ", ".join(f"{each}{call}" for each, call in called.items())
            raise BadInput(f"{what} has no {name!r}; it needs {needs}")
        value = thing if name == "__call__" else getattr(thing, name)  # a function's own `__call__` takes anything
        if inspect.isfunction(wanted):
            _check_call(name, value, wanted, what)
        elif isinstance(wanted, type) and wanted in _PLAIN and not isinstance(value, _PLAIN[wanted]):
            raise BadInput(f"{what}: {name} is {value!r}, and must be of the type {wanted.__name__}")


def _members(protocol: type[Any]) -> Iterator[tuple[str, Any]]:
    """What a protocol asks for: functions of methods, and types of attributes."""
    seen = set()
    for base in protocol.__mro__:
        if base.__name__ in _SKIPPED and base.__module__ in ("typing", "builtins"):
            continue
        hints = typing.get_type_hints(base) if "__annotations__" in vars(base) else {}
        own = {name: hints.get(name) for name in vars(base).get("__annotations__", {})}
        own |= {name: value for name, value in vars(base).items() if name not in own}
        for name, value in own.items():
            if name in seen or (name.startswith("_") and name != "__call__"):
                continue
            seen.add(name)
            if isinstance(value, property):
                hint = typing.get_type_hints(value.fget).get("return") if value.fget else None
                yield name, hint
            else:
                yield name, value


def _check_call(name: str, found: Any, wanted: Any, what: str) -> None:  # noqa: ANN401 - functions
    if not callable(found):
        raise BadInput(f"{what}: {name} is {found!r}, and must be a function that is called as {name}{_call(wanted)}")
    try:
        signature = inspect.signature(found)
    except (TypeError, ValueError):  # written in C: the call will tell
        return
    parameters = list(inspect.signature(wanted).parameters.values())[1:]
    places = [each.name for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    names = {each.name: None for each in parameters if each.kind is each.KEYWORD_ONLY}
    try:
        signature.bind(*places, **names)
    except TypeError as error:
        shown = "" if name == "__call__" else name
        raise BadInput(
            f"{what}: it is called as {shown}{_call(wanted)}, and takes {shown}{_shown(signature)}: {error}"
        ) from None


def _call(function: Any) -> str:  # noqa: ANN401 - a function
    """How a method of a protocol is called: `(rows, label, *, seed)`."""
    signature = inspect.signature(function)
    return _shown(signature.replace(parameters=list(signature.parameters.values())[1:]))


def _shown(signature: inspect.Signature) -> str:
    bare = [each.replace(annotation=each.empty) for each in signature.parameters.values()]
    return str(inspect.Signature(bare))


def _made(kind: type[Any], what: str, settings: Mapping[str, Any]) -> object:
    """An object of a class, with the user's settings."""
    try:
        signature = inspect.signature(kind)
    except (TypeError, ValueError):  # it has no signature that Python can tell
        return kind(**settings)
    _check_settings(signature.parameters.values(), what, settings)
    try:
        signature.bind(**settings)
    except TypeError as error:
        raise BadInput(f"{what}: {error}; give it among its settings, or give its parameter a default") from None
    return kind(**settings)


def _plain(found: object, what: str, settings: Mapping[str, Any], protocol: type[Any]) -> object:
    """A function with the user's settings as its further arguments; anything else as it is."""
    if not settings:
        return found
    if not inspect.isfunction(found):
        raise BadInput(f"{what} takes no settings, being neither class nor function; given {', '.join(settings)}")
    parameters = list(inspect.signature(found).parameters.values())
    first = len(inspect.signature(protocol.__call__).parameters) - 1  # those that every one is called with
    further = [each for number, each in enumerate(parameters) if number >= first or each.kind is each.KEYWORD_ONLY]
    _check_settings(further, what, settings)
    return functools.partial(found, **settings)


def _check_settings(parameters: Iterable[inspect.Parameter], what: str, settings: Mapping[str, Any]) -> None:
    parameters = list(parameters)
    known = [each.name for each in parameters if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)]
    if settings and not parameters:
        raise BadInput(f"{what} takes no settings; it was given {', '.join(settings)}")
    if not any(each.kind is each.VAR_KEYWORD for each in parameters):
        for name in settings:
            if name not in known:
                raise BadInput(f"{what}: setting {name!r} is unknown{near(name, known)}")


def _load(target: str) -> Any:  # noqa: ANN401 - whatever stands there
    module, _, name = target.partition(":")
    found: Any = importlib.import_module(module.strip())
    for part in filter(None, name.strip().partition("[")[0].strip().split(".")):
        found = getattr(found, part)
    return found


@contextmanager
def _named(what: str) -> Iterator[None]:
    """Tell whose code failed, where it is no project's."""
    try:
        yield
    except (SluiceError, Stopped):
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever another's code raises
        said = str(error).strip()
        raise BadInput(f"{what}: {type(error).__name__}{f': {said}' if said else ''}") from None
