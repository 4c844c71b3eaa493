"""Labels for what was forecast: late, in parts, corrected; each known from its arrival on, by key or by request."""

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sluice.core.errors import BadInput
from sluice.predictions.joining import delays, with_labels
from sluice.predictions.labels import keep_labels
from sluice.predictions.reader import latest_form, read_predictions
from sluice.serving.exchange import Loaded
from sluice.serving.feedback import take_feedback
from sluice.serving.prediction_log import LogSettings, PredictionLog, form_of
from sluice.storage.stores import Store, open_store
from tests.sluice_command import Sluice
from tests.unit.served_rule import Rule, exchange, served

NOW = datetime.fromtimestamp(time.time() // 1, UTC)
HOUR = timedelta(hours=1)


def store_with(tmp_path: Path, rule: Rule, begin: float = NOW.timestamp()) -> tuple[Store, list[str]]:
    """A log of four requests with one row each, a second apart; their ids."""
    store = open_store(str(tmp_path / "home" / "store"))
    log = PredictionLog(LogSettings(spool=tmp_path / "spool"), store)
    log.start()
    asked = [exchange([{"amount": n, "order": n}], begin + n, rule) for n in range(4)]
    for each in asked:
        log.observed(each)
    assert log.stop()
    return store, [each.request for each in asked]


def known(store: Store, as_of: datetime | None = None, around: datetime = NOW) -> dict[int, Any]:
    rows = read_predictions(store, "orders", around - HOUR, around + HOUR)
    with with_labels(rows, store, as_of, ["order"]) as table:
        name = "sluice_label" if rows.classes else "sluice_label_number"
        return {row["order"]: row[name] for row in table.to_pyarrow().to_pylist()}


def test_labels_come_late_in_parts_and_corrected(tmp_path: Path) -> None:
    store, requests = store_with(tmp_path, Rule())
    form = latest_form(store, "orders")
    keep_labels(store, form, [{"order": "0", "late": "no"}, {"order": "1", "late": ""}], "a.csv", NOW + HOUR)
    first = keep_labels(store, form, [{"order": 1, "late": "yes"}], "b.csv", NOW + 2 * HOUR)
    again = keep_labels(store, form, [{"order": 1, "late": "yes"}], "b.csv", NOW + 2 * HOUR)
    assert (first.labels, first.key) == (1, again.key)
    keep_labels(store, form, [{"order": 0, "late": "yes"}], "c.csv", NOW + 3 * HOUR)
    keep_labels(store, form, [{"request": requests[2], "label": "no"}], "d.csv", NOW + 4 * HOUR)
    assert known(store, NOW) == {0: None, 1: None, 2: None, 3: None}
    assert known(store, NOW + HOUR) == {0: "no", 1: None, 2: None, 3: None}
    assert known(store, NOW + 2 * HOUR) == {0: "no", 1: "yes", 2: None, 3: None}
    assert known(store, NOW + 3.5 * HOUR) == {0: "yes", 1: "yes", 2: None, 3: None}
    assert known(store, NOW + 9 * HOUR) == {0: "yes", 1: "yes", 2: "no", 3: None}
    # By request, and later than by key: it corrects that one.
    keep_labels(store, form, [{"request": requests[0], "row": "0", "label": "no"}], "e.csv", NOW + 5 * HOUR)
    assert known(store, NOW + 9 * HOUR)[0] == "no"
    rows = read_predictions(store, "orders", NOW - HOUR, NOW + HOUR)
    with with_labels(rows, store, NOW + 9 * HOUR) as table:
        assert table.count().to_pyarrow().as_py() == 4
        told = delays(table)
    assert (told.labelled, told.unlabelled, told.corrected) == (3, 1, 1)
    assert told.seconds[0.5] == 2 * 3600 - 1  # of 3600, 7199 and 14398 seconds
    assert told.seconds[1.0] == 4 * 3600 - 2
    with with_labels(rows, store, NOW) as table:
        assert delays(table).seconds == {}


def test_numbers_as_labels_and_a_body_of_json(tmp_path: Path) -> None:
    rule = Rule(served("f" * 64, ()))
    store, requests = store_with(tmp_path, rule)
    form = form_of(Loaded("orders/1", rule))
    body = {"labels": [{"request": requests[3], "late": 2.5}], "arrived": "2026-01-01T00:00:00Z"}
    told = take_feedback(json.dumps(body).encode(), form, store)
    assert told == {"model": "orders", "labels": 1, "without": 0, "by": ["sluice_request", "sluice_row"]}
    assert known(store) == {0: None, 1: None, 2: None, 3: 2.5}
    for wrong, words in {
        b"{": "the body is no JSON",
        b'{"labels": [{"request": "a", "late": "x"}]}': "row 1: label 'x' is no number",
        b'{"labels": [], "other": 1}': "unknown field",
        b'{"labels": [{"late": 1}], "arrived": "soon"}': "'soon' is no time; write it like",
    }.items():
        with pytest.raises(BadInput, match=words):
            take_feedback(wrong, form, store)


def test_masked_keys_find_their_rows(tmp_path: Path) -> None:
    rule = Rule(served().model_copy(update={"key": ("email",)}))
    store = open_store(str(tmp_path / "store"))
    log = PredictionLog(LogSettings(spool=tmp_path / "spool"), store)
    log.start()
    log.observed(exchange([{"email": "ada@example.com", "order": 1}], NOW.timestamp(), rule))
    assert log.stop()
    keep_labels(store, latest_form(store, "orders"), [{"email": "ada@example.com", "late": "yes"}], "a.csv")
    assert known(store) == {1: "yes"}
    assert not [path for path in (tmp_path / "store").rglob("*.parquet") if b"ada@" in path.read_bytes()]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "f.csv has no row"),
        ([{"ordre": 1, "late": "no"}], "f.csv has no column 'order', by which labels find their rows .key order.; did"),
        ([{"order": 1, "lates": "no"}], "f.csv has no column 'late' with the label; did you mean 'lates'?"),
        ([{"order": 1, "late": "yess"}], "row 1: label 'yess' is none of the classes no, yes; did you mean yes?"),
        ([{"order": "x", "late": "yes"}], "row 1: order has 'x', which is no int64"),
        ([{"order": 1.5, "late": "yes"}], "row 1: order has '1.5', which is no int64"),
        ([{"order": "", "late": "yes"}], "row 1: order is missing"),
        ([{"order": 1, "late": "no"}, {"order": 1, "late": "yes"}], "row 2: order=1 has the labels no and yes; keep"),
        ([{"order": 1, "late": ""}], "f.csv has no label in column 'late'"),
    ],
)
def test_what_is_wrong_with_labels_is_named(tmp_path: Path, rows: list[dict[str, Any]], words: str) -> None:
    form = form_of(Loaded("orders/1", Rule()))
    with pytest.raises(BadInput, match=words.replace("?", r"\?")):
        keep_labels(open_store(str(tmp_path)), form, rows, "f.csv")


def test_the_commands(tmp_path: Path) -> None:
    now = datetime.now(UTC)  # the command looks back from the present, and this module may have been read hours ago
    store, requests = store_with(tmp_path, Rule(), now.timestamp())
    sluice = Sluice(tmp_path / "home")
    labels = tmp_path / "labels.csv"
    labels.write_text("order,late\n1,yes\n2,\n")
    done = sluice("feedback", "orders", str(labels))
    assert "1 labels of orders kept, by order; 1 rows have none" in done.stdout, done.stderr
    assert known(store, around=now)[1] == "yes"
    done = sluice("which", requests[0])
    assert "orders/1 (champion, digest dddddddddddd) said no at " in done.stdout, done.stderr
    assert sluice("which", "unknown").returncode == 2
    done = sluice("feedback", "order", str(labels))
    assert done.returncode == 2
    assert "has no predictions of 'order'; it has those of orders; did you mean orders?" in done.stderr
