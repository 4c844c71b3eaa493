"""Values that training never saw are said: in the log by feature, in the answer by row, and nowhere else."""

import logging
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.core.errors import BadInput
from sluice.features import learned_inputs
from sluice.features.learned_inputs import learn_inputs
from sluice.features.model_inputs import INPUTS, read_inputs, write_inputs
from sluice.features.unseen_values import SeenValues
from sluice.problems.task import Task
from tests.unit import served_world

TASK = Task(
    name="t",
    question="?",
    label="l",
    classes=("a", "b"),
    key=("k",),
    numeric=("hour", "temp"),
    categorical=("carrier",),
)
TRAIN = pd.DataFrame(
    {
        "hour": np.arange(1000) % 24,
        "temp": np.where(np.arange(1000) % 10 == 0, np.nan, np.linspace(-10, 35, 1000)),
        "carrier": ["AA", "UA"] * 497 + ["B6", "B6", "9E", "YV", "OO", None],
    }
)
USUAL: dict[str, Any] = {"hour": 5.0, "temp": 20.0, "carrier": "AA"}


def findings(rows: list[dict[str, Any]]) -> list[str]:
    frame = pd.DataFrame([USUAL | row for row in rows])
    columns = {name: frame[name].to_numpy(np.float64) for name in TASK.numeric}
    seen = SeenValues(learn_inputs(TRAIN, TASK))
    return [str(found) for found in seen.findings({**columns, "carrier": frame["carrier"].astype("string").array})]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([{}, {}], None),
        ([{"carrier": "YV"}], None),  # rare in training, and yet seen
        ([{"carrier": None, "temp": np.nan}], None),  # as some training rows
        ([{"hour": 0.0}, {"hour": 23.0}], None),
        (
            [{}, {"hour": 99.0}, {"hour": 24.0}],
            "hour: 2 of 3 rows outside 0 to 23, all that training saw, first row 1: 99",
        ),
        ([{"hour": 1e300}], "hour: 1 of 1 rows outside 0 to 23, all that training saw, first row 0: 1e+300"),
        ([{"hour": 7.5}], "hour: 1 of 1 rows that are no whole numbers, as all in training were, first row 0: 7.5"),
        ([{"hour": np.nan}], "hour: 1 of 1 rows without a value, which training always had, first row 0"),
        (
            [{}, {"carrier": "aa"}],
            (
                "carrier: 1 of 2 rows with values not seen in training, first row 1: "
                "'aa' (did you mean 'AA'? they differ in case)"
            ),
        ),
        (
            [{"carrier": "UA "}],
            (
                "carrier: 1 of 1 rows with values not seen in training, first row 0: "
                "'UA ' (did you mean 'UA'? they differ in spaces)"
            ),
        ),
        (
            [{"carrier": name} for name in ("X\n", "Y", "Z", "Q", "X\n")],
            "carrier: 5 of 5 rows with values not seen in training, first row 0: 'X\\n', 'Y', 'Z' and 1 more",
        ),
    ],
)
def test_what_training_never_saw_is_said_in_one_line(rows: list[dict[str, Any]], words: str | None) -> None:
    assert findings(rows) == ([words] if words else [])


def test_other_units_show_in_the_tails() -> None:
    """Temperatures in a narrow range of Fahrenheit may lie inside the range of Celsius, yet not where it usually is."""
    train = TRAIN.assign(temp=[*np.linspace(15, 20, 998), -40, 60])
    seen = SeenValues(learn_inputs(train, TASK))
    usual = {"hour": np.full(50, 5.0), "carrier": pd.array(["AA"] * 50, dtype="string")}
    assert seen.findings({**usual, "temp": np.r_[np.full(46, 18.0), np.full(4, 59.0)]}) == []
    (found,) = seen.findings({**usual, "temp": np.full(50, 59.0)})
    assert str(found).endswith("where 99.8 % of the training rows are (other units?), first row 0: 59")


def test_the_training_rows_themselves_hold_nothing_odd() -> None:
    columns = {name: TRAIN[name].to_numpy(np.float64) for name in TASK.numeric}
    carrier = TRAIN["carrier"].astype("string").array
    seen = SeenValues(learn_inputs(TRAIN, TASK))
    assert seen.findings({**columns, "carrier": carrier}) == []
    single = {name: values.astype(np.float32).astype(np.float64) for name, values in columns.items()}
    assert seen.findings({**single, "carrier": carrier}) == []


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True, width=64), min_size=1, max_size=8))
def test_a_number_is_outside_when_the_training_rows_say_so(values: list[float]) -> None:
    seen = SeenValues(learn_inputs(TRAIN, TASK))
    column = np.array(values)
    usual = {"hour": np.full(len(values), 5.0), "carrier": pd.array(["AA"] * len(values), dtype="string")}
    marked = np.zeros(len(values), bool)
    for found in seen.findings({**usual, "temp": column}):
        marked |= found.rows
    known = TRAIN["temp"].dropna()
    far = pd.Series(column).between(known.min() - 1e-4, known.max() + 1e-4) | np.isnan(column)
    near = pd.Series(column).between(known.min(), known.max()) | np.isnan(column)
    assert not marked[near.to_numpy()].any()
    assert marked[~far.to_numpy()].all()


def test_rare_values_stand_in_the_file_as_digests_only(tmp_path: Path) -> None:
    inputs = learn_inputs(TRAIN, TASK)
    write_inputs(tmp_path, inputs)
    text = (tmp_path / INPUTS).read_text()
    assert read_inputs(tmp_path) == inputs
    assert '"AA"' in text
    assert not any(f'"{name}"' in text for name in ("B6", "9E", "YV", "OO"))


def test_where_categories_are_too_many_the_words_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learned_inputs, "MOST_VALUES", 2)
    (line,) = findings([{"carrier": "YV"}])
    assert "with values not among the most frequent of training" in line


@pytest.mark.parametrize("text", ["{", "[]", '{"version": 9}', '{"version": 1, "rows": 3, "numbers": [{}]}'])
def test_a_garbled_file_is_refused_in_words(tmp_path: Path, text: str) -> None:
    (tmp_path / INPUTS).write_text(text)
    with pytest.raises(BadInput, match=INPUTS):
        read_inputs(tmp_path)


def test_a_served_model_logs_by_feature_and_answers_by_row(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    served = mlflow.pyfunc.load_model(str(served_world.saved(tmp_path / "model")))
    table, _ = served_world.rows(4, seed=9)
    table.loc[1, "carrier"] = "aa"
    table.loc[[1, 3], "hour"] = 99
    with caplog.at_level(logging.WARNING, logger="sluice.model"):
        answer = served.predict(table, params={"report": True})
    assert answer["unseen"].tolist() == ["", "hour, carrier", "", "hour"]
    lines = [record.message for record in caplog.records if record.name == "sluice.model"]
    assert [line.split(":")[0] for line in lines] == ["hour", "carrier"]
    assert "did you mean 'AA'" in lines[1]
