"""Each thing a user can get wrong ends in one line with exit code 2, and registers nothing."""

from pathlib import Path

import pytest

from tests.sluice_command import Sluice


@pytest.fixture(scope="module")
def sluice(tmp_path_factory: pytest.TempPathFactory) -> Sluice:
    """One home for all: what is refused leaves nothing behind that the next could see."""
    return Sluice(tmp_path_factory.mktemp("home"))


def _refused(sluice: Sluice, *words: str) -> str:
    done = sluice(*words)
    assert done.returncode == 2, done.stdout + done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    assert not list(sluice.home.glob("reports/*"))
    assert not list(sluice.home.glob("store/promotions/*"))
    return lines[0]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("run", "lake_to_modl"), "did you mean 'lake_to_model'"),
        (("run", "lake_to_model", "-p", "sede=1"), "did you mean 'seed'"),
        (("run", "lake_to_model", "-p", "seed=x"), "no integer"),
        (("pipelines", "nothing"), "unknown"),
        (("lineage", "flights-late"), "flights-late"),
        (("lake", "ocean"), "flights, digits"),
    ],
)
def test_a_wrong_word(sluice: Sluice, words: tuple[str, ...], named: str) -> None:
    assert named in _refused(sluice, *words)


@pytest.mark.parametrize(
    ("parameter", "named"),
    [
        ("lake=./nowhere", "contract.yaml"),
        ("sample_fraction=0", "fraction"),
        ("sample_fraction=1.5", "fraction"),
        ('features=["distance", "dep_delay"]', "dep_delay"),
        ('features=["distnce"]', "distnce"),
        ("recipe=flights_early", "flights_early"),
        ('strata=["colour"]', "colour"),
        ("split_strategy=alphabet", "alphabet"),
        ("shares=[0.5, 0.1, 0.1]", "shares"),
        ('candidates=["oracle"]', "oracle"),
        ("seconds_per_candidate=0", "seconds_per_candidate"),
        ("as_of=2015-01-01", "flights"),
        ("as_of=yesterday", "as_of"),
    ],
)
def test_a_wrong_parameter(sluice: Sluice, flights: Path, parameter: str, named: str) -> None:
    words = ["run", "lake_to_model", "-p", parameter]
    if not parameter.startswith("lake="):
        words += ["-p", f"lake={flights}"]
    if not parameter.startswith("sample_fraction="):
        words += ["-p", "sample_fraction=0.03"]
    assert named in _refused(sluice, *words)
