"""`-p key=value` from the command line, as values of the types that a pipeline declares."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sluice.core.errors import BadInput
from sluice.core.parameter_checks import check_numbers
from sluice.core.plain_text import is_unicode
from sluice.running.catalog import Parameter, Pipeline, near


def parse_arguments(
    pipeline: Pipeline, pairs: Iterable[str], declared: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Turn `key=value` words into arguments of a pipeline.

    Args:
        pipeline: Whose parameters they are.
        pairs: E.g. `["seed=7", 'strata=["region"]']`; a list may also be given as `a,b,c`.
        declared: What a project, or an earlier run, gives already; a pair overrules it.

    Returns:
        The values by name; parameters that are not named keep their defaults.

    Raises:
        BadInput: A word has no `=`, names no parameter, is given twice, or its value is of another type, no choice, or
            none that its steps take; or a parameter without a default is left out.
    """
    known = {parameter.name: parameter for parameter in pipeline.parameters}
    arguments: dict[str, Any] = {}
    for pair in pairs:
        name, separator, text = pair.partition("=")
        if not separator:
            raise BadInput(f"-p {pair!r} has no '='; write -p name=value")
        if name not in known:
            hint = near(name, known) or (f"; it has {', '.join(known)}" if known else "; it has none")
            raise BadInput(f"parameter {name!r} is unknown to pipeline {pipeline.name}{hint}")
        if name in arguments:
            raise BadInput(f"parameter {name!r} is given twice; keep one of them")
        arguments[name] = _value(known[name], text)
    arguments = {**(declared or {}), **arguments}
    check_arguments(pipeline, arguments)
    return arguments


def check_arguments(pipeline: Pipeline, arguments: Mapping[str, Any]) -> None:
    """See that a pipeline can begin with these arguments, which have the types that it declares.

    Raises:
        BadInput: One is missing, or a step would not take it; the message names the parameter.
    """
    for parameter in pipeline.parameters:
        if parameter.required and parameter.name not in arguments:
            example = _READERS[parameter.type][1]
            raise BadInput(f"pipeline {pipeline.name} needs {parameter.name!r}: -p {parameter.name}={example}")
    check_numbers(arguments)
    check_values(pipeline, arguments)


def check_values(pipeline: Pipeline, arguments: Mapping[str, Any]) -> None:
    """Hold arguments, and the defaults of those left out, to what their steps take, before the first step runs.

    Raises:
        BadInput: The message names the pipeline's parameter and the value.
    """
    for parameter in pipeline.parameters:
        if parameter.name in arguments:
            for check in parameter.checks:
                check(parameter.name, arguments[parameter.name])
    for parameter in pipeline.parameters:
        if parameter.name not in arguments and parameter.default is not None:
            for check in parameter.checks:
                check(parameter.name, parameter.default)


def _value(parameter: Parameter, text: str) -> Any:  # noqa: ANN401 - the type is the parameter's
    read, example = _READERS[parameter.type]
    name, kind, choices = parameter.name, parameter.type.lower(), parameter.choices
    try:
        value = read(text)
    except ValueError:
        raise BadInput(f"parameter {name!r}: {text!r} is no {kind}; write e.g. -p {name}={example}") from None
    written = json.dumps(value, ensure_ascii=False)
    if not is_unicode(written):
        raise BadInput(f"parameter {name!r}: {text!r} holds half a character, which no file can keep; leave it out")
    if "{{" in written:
        raise BadInput(f"parameter {name!r}: {text!r} holds '{{{{', which KFP takes for a placeholder; leave it out")
    if choices and value not in choices:
        hint = near(text, [str(choice) for choice in choices])
        raise BadInput(f"parameter {name!r}: {text!r} is not offered{hint}; choose {' or '.join(map(str, choices))}")
    return value


def _integer(text: str) -> int:
    """Digits of ASCII: Python's own `int` takes `1_0` for ten, and digits of every script."""
    if not re.fullmatch(r"\s*[+-]?[0-9]{1,400}\s*", text):
        raise ValueError(text)
    return int(text)


def _float(text: str) -> float:
    if "_" in text or not text.isascii():
        raise ValueError(text)
    return float(text)


def _boolean(text: str) -> bool:
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if text.lower() not in words:
        raise ValueError(text)
    return words[text.lower()]


def _list(text: str) -> list[Any]:
    if not text.lstrip().startswith("["):
        return [word.strip() for word in text.split(",") if word.strip()]
    values: list[Any] = _json(text, list)
    return values


def _json(text: str, kind: type) -> Any:  # noqa: ANN401 - JSON
    value = json.loads(text)
    if not isinstance(value, kind):
        raise ValueError(text)
    return value


_READERS: dict[str, tuple[Callable[[str], Any], str]] = {
    "String": (str, "text"),
    "Integer": (_integer, "7"),
    "Float": (_float, "0.5"),
    "Boolean": (_boolean, "true"),
    "List": (_list, '\'["a", "b"]\''),
    "Dict": (lambda text: _json(text, dict), "'{\"a\": 1}'"),
}
