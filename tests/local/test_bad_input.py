"""Each thing a user can get wrong ends in one line with exit code 2, and registers nothing."""

from pathlib import Path

import pytest

from tests.examples import FLIGHTS
from tests.sluice_command import Sluice


@pytest.fixture(scope="module")
def one_home(tmp_path_factory: pytest.TempPathFactory) -> Sluice:
    """One home for all: what is refused leaves nothing behind that the next could see."""
    return Sluice(tmp_path_factory.mktemp("home"))


def _refused(one_home: Sluice, *words: str) -> str:
    done = one_home(*words)
    assert done.returncode == 2, done.stdout + done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    # No report: at most the page of the step that closed its gate, which the line then names.
    assert {path.name.rpartition("-")[2] for path in one_home.home.glob("reports/*")} <= {"quality.html"}
    assert not list(one_home.home.glob("store/promotions/*"))
    return lines[0]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("run", "supervise"), "did you mean 'supervised'"),
        (("run", FLIGHTS, "-p", "sede=1"), "did you mean 'seed'"),
        (("run", FLIGHTS, "-p", "seed=x"), "no integer"),
        (("pipelines", "nothing"), "unknown"),
        (("lineage", "flights-late"), "flights-late"),
        (("lake", "ocean"), "ocean is no folder"),
        (("run",), "no sluice.yaml here or in a folder above"),
        (("run", "supervised"), "parameter 'lake' is empty"),
        (("run", "supervised", "-p", "lake=./here"), "parameter 'task' is empty"),
    ],
)
def test_a_wrong_word(one_home: Sluice, words: tuple[str, ...], named: str) -> None:
    assert named in _refused(one_home, *words)


@pytest.mark.parametrize(
    ("parameter", "named"),
    [
        ("lake=./nowhere", "contract.yaml"),
        ('candidates=["oracle"]', "oracle"),
        ("as_of=2015-01-01", "flights"),
        *(
            pytest.param(*case, marks=pytest.mark.long)  # steps say so in tests/unit
            for case in (
                ("sample_fraction=0", "fraction"),
                ('strata=["colour"]', "colour"),
                ("split_strategy=alphabet", "alphabet"),
                ("shares=[0.5, 0.1, 0.1]", "shares"),
                ("seconds_per_candidate=0", "seconds_per_candidate"),
            )
        ),
    ],
)
def test_a_wrong_parameter(one_home: Sluice, few_flights: Path, parameter: str, named: str) -> None:
    words = ["run", FLIGHTS, "-p", parameter]
    if not parameter.startswith("lake="):
        words += ["-p", f"lake={few_flights}"]
    if not parameter.startswith("sample_fraction="):
        words += ["-p", "sample_fraction=0.36"]
    assert named in _refused(one_home, *words)
