"""`sluice monitor` as a person types it: what it says first, its exit codes, its files, and its refusals."""

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
import promql_parser
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from typer.testing import CliRunner

from sluice.cli.main import app
from sluice.core.errors import BadInput, EnvironmentFault
from sluice.engine.datasets import read_dataset
from sluice.monitoring.dashboards import alert_rules, grafana_dashboard, perses_dashboard, write_files
from sluice.monitoring.metric_list import METRICS
from sluice.registry.predicting import opened_model
from sluice.reporting.pages import sections_of
from sluice.serving.exchange import Loaded
from sluice.serving.metrics import Metrics
from sluice.storage.locations import default_store
from tests.unit import predict_world
from tests.unit import shift_world as world
from tests.unit.predict_world import Registered
from tests.unit.served_rule import Rule

ROOT = Path(__file__).parents[2]
FILES = ROOT / "manifests" / "monitoring"


def monitor(*words: str) -> tuple[int, str]:
    """The command: exit code, and what it printed or why it refused."""
    done = CliRunner().invoke(app, ["monitor", *words])
    if isinstance(done.exception, BadInput | EnvironmentFault):
        return done.exception.exit_code, str(done.exception)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reference, a calm week, a history whose last week broke, and labels that came later."""
    folder = tmp_path_factory.mktemp("files")
    pq.write_table(world.table(world.rows(0, 28, 5, 200), "binary", 5), folder / "reference.parquet")
    calm = world.table(world.rows(28, 7, 6, 200), "binary", 6)
    pq.write_table(calm.drop_columns(["outcome"]), folder / "calm.parquet")
    given, told = world.shifted("nulls", 35, 7, 7, daily=200)
    broken = world.table(given, "binary", 7, told)
    pq.write_table(pa.concat_tables([calm, broken]).drop_columns(["outcome"]), folder / "history.parquet")
    labels = calm.select(["order_id", "outcome"])
    wrong = labels.set_column(1, "outcome", pa.array(["no"] * len(labels)))
    pq.write_table(pa.concat_tables([wrong, labels]), folder / "labels.parquet")  # corrected: the later ones hold
    return folder


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the page is written, and a home of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SLUICE_HOME", str(tmp_path / "home"))


def test_the_page_opens_with_the_metric_and_labels_that_came_later_are_joined(files: Path, tmp_path: Path) -> None:
    words = ("--label", "outcome", "--labels", str(files / "labels.parquet"), "--key", "order_id", "--json")
    code, printed = monitor(str(files / "reference.parquet"), str(files / "calm.parquet"), *words)
    assert code == 0
    body = json.loads(printed)
    [window] = body["windows"]
    table = pq.read_table(files / "calm.parquet").to_pandas()
    labels = pq.read_table(files / "labels.parquet").to_pandas().drop_duplicates("order_id", keep="last")
    both = table.merge(labels, on="order_id")
    said = np.where(both.outcome == "yes", both.probability_yes, both.probability_no)
    assert window["by_labels"]["metrics"]["log_loss"]["value"] == pytest.approx(-np.log(said).mean(), abs=1e-6)
    assert window["by_labels"]["labelled"] == len(table)
    page = (tmp_path / "monitor.html").read_text()
    assert [section.id for section in sections_of(page)] == ["performance", "alarms", "explanation", "method"]
    first = sections_of(page)[0].html
    assert first.index("Log loss is") < first.index("<table")


def test_a_history_tells_when_it_would_have_alarmed_and_is_kept(files: Path, tmp_path: Path) -> None:
    words = ("--label", "outcome", "--time", "at", "--windows", "week", "--publish")
    kept = ("--state", "watch.json", "--metrics-file", "monitor.prom")
    code, printed = monitor(str(files / "reference.parquet"), str(files / "history.parquet"), *words, *kept)
    assert code == 3
    assert "2031-02-10: would have alarmed (page): data broke: missing values of load" in printed
    assert printed.count("would have alarmed") == 1
    ids = [line.split()[-1] for line in printed.splitlines() if line.startswith("published: ")]
    assert len(ids) == 2
    with read_dataset(f"{default_store().uri}/datasets/{ids[1]}") as (bundle, tables):
        assert bundle.manifest.details["monitoring"]["alarms"][0]["severity"] == "page"
        assert tables["metrics"].count().to_pyarrow().as_py() >= 1
    assert "data broke: missing values of load" in json.loads((tmp_path / "watch.json").read_text())["known"]
    text = (tmp_path / "monitor.prom").read_text()
    assert 'sluice_monitor_alarm{model="",severity="page"} 1.0' in text
    told = {line.split("{")[0] for line in text.splitlines() if not line.startswith("#")}
    assert told <= {each.name for each in METRICS}


def log_file(files: Path, target: Path) -> None:
    """The same rows as the prediction log has them: a champion's, those of a shadow, a masked column."""
    table = pq.read_table(files / "calm.parquet")
    names = {"prediction": "sluice_called", "probability_no": "sluice_probability_0", "at": "sluice_moment"}
    names["probability_yes"] = "sluice_probability_1"
    frame = table.rename_columns([names.get(name, name) for name in table.column_names]).to_pandas()
    frame = frame.assign(sluice_digest="d" * 64, sluice_role="champion", region="hidden")
    shadow = frame.assign(sluice_role="shadow", sluice_probability_1=0.99, sluice_probability_0=0.01)
    note = {"classes": ["no", "yes"], "fields": [{"name": "region", "hashed": True}]}
    whole = pa.Table.from_pandas(pd.concat([frame, shadow]), preserve_index=False)
    pq.write_table(whole.replace_schema_metadata({"sluice.predictions": json.dumps(note)}), target)


def test_a_prediction_log_is_read_by_its_own_names(files: Path, tmp_path: Path) -> None:
    log = tmp_path / "log" / "hour=2031-02-03-00"
    log.mkdir(parents=True)
    log_file(files, log / "part.parquet")
    reference = str(files / "reference.parquet")
    words = ("--label", "outcome", "--time", "", "--windows", "week", "--json")
    code, printed = monitor(reference, str(tmp_path / "log"), *words)
    assert code == 0
    [window] = json.loads(printed)["windows"]
    plain = json.loads(
        monitor(reference, str(files / "calm.parquet"), "--label", "outcome", "--leave-out", "region", "--json")[1]
    )
    [same] = plain["windows"]
    assert window["rows"] == same["rows"] == len(pq.read_table(files / "calm.parquet"))
    assert [each["column"] for each in window["inputs"]] == [each["column"] for each in same["inputs"]]
    assert window["estimated"]["metrics"] == same["estimated"]["metrics"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--label", "outcom"), "has no column 'outcom' (did you mean 'outcome'?)"),
        (("--label", "outcome", "--metric", "acuracy"), "(did you mean 'accuracy'?)"),
        (("--windows", "weak"), "--windows 'weak' is unknown (did you mean 'week'?)"),
        (("--windows", "week"), "name its column by --time"),
        (("--effect", "2"), "give a share above 0 and below 1"),
        (("--column", "lod"), "has no column 'lod' (did you mean 'load'?)"),
        (("--labels", "labels.parquet"), "is not there"),
        (("--contract", "contract.yaml"), "is not there"),
    ],
)
def test_what_is_wrong_is_one_line(files: Path, words: tuple[str, ...], told: str) -> None:
    code, printed = monitor(str(files / "reference.parquet"), str(files / "calm.parquet"), *words)
    assert code == 2
    assert told in printed
    assert len(printed.splitlines()) == 1


def test_files_that_cannot_be_read_are_named(files: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.parquet"
    broken.write_bytes((files / "calm.parquet").read_bytes()[:2000])
    for given, told in (("gone.parquet", "is not there"), (str(broken), "broken.parquet"), (str(tmp_path), "")):
        code, printed = monitor(str(files / "reference.parquet"), given)
        assert code == 2
        assert told in printed


def test_a_csv_file_with_texts_in_a_column_of_numbers_is_a_fault(files: Path, tmp_path: Path) -> None:
    frame = pq.read_table(files / "calm.parquet").to_pandas()
    texts = ["n/a", "5"] * (len(frame) // 2) + ["n/a"] * (len(frame) % 2)
    frame.assign(load=texts).to_csv(tmp_path / "now.csv", index=False)
    code, printed = monitor(str(files / "reference.parquet"), str(tmp_path / "now.csv"), "--label", "outcome", "--json")
    assert code == 3
    [window] = json.loads(printed)["windows"]
    told = {each["kind"]: each["words"] for each in window["faults"] if each["column"] == "load"}
    assert told["schema"] == "load is of type VARCHAR, and a number in the reference"
    assert "missing in 5" in told["missing values"]
    frame.to_csv(tmp_path / "whole.csv", index=False)
    assert monitor(str(files / "reference.parquet"), str(tmp_path / "whole.csv"), "--label", "outcome")[0] == 0


def test_a_registered_model_is_held_to_its_own_test_rows(projects: Registered, tmp_path: Path) -> None:
    rows = predict_world.houses(seed=9)
    rows.to_csv(tmp_path / "now.csv", index=False)
    code, printed = monitor("houses", str(tmp_path / "now.csv"), "--json")
    assert code in (0, 3)
    body = json.loads(printed)
    assert body["model"] == "houses/1"
    assert "test rows of houses/1" in body["reference"]
    found = body["windows"][0]["by_labels"]
    with opened_model("houses") as opened:
        forecasts = opened.predict(tmp_path / "now.csv").table.to_pandas()
    assert found["metrics"]["mae"]["value"] == pytest.approx(abs(forecasts.prediction - rows.price).mean())
    assert "by labels" in sections_of((tmp_path / "monitor.html").read_text())[0].html


@pytest.fixture
def webhook() -> Iterator[tuple[str, list[dict[str, object]], list[int]]]:
    """An address that takes notices; it answers what the last list says, then 200."""
    taken: list[dict[str, object]] = []
    answers: list[int] = []

    class Taking(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = answers.pop(0) if answers else 200
            if status == 200:
                taken.append(json.loads(body))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *words: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Taking)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/hook", taken, answers
    server.shutdown()
    thread.join()
    server.server_close()


def test_new_alarms_are_sent_once_without_rows_and_after_a_refusal_again(
    files: Path, tmp_path: Path, webhook: tuple[str, list[dict[str, object]], list[int]]
) -> None:
    address, taken, answers = webhook
    given = pq.read_table(files / "history.parquet").to_pandas().query("load.isna()")
    pd.concat([given] * 2).to_parquet(tmp_path / "broken.parquet")
    answers.append(503)
    words = (str(files / "reference.parquet"), "broken.parquet", "--label", "outcome", "--state", "watch.json")
    code, _ = monitor(*words, "--webhook", address)
    assert code == 3
    [notice] = taken
    assert notice["severity"] == "page"
    assert "rows" not in notice
    assert monitor(*words, "--webhook", address)[0] == 3
    assert len(taken) == 1  # known since the run before
    answers.append(404)
    code, told = monitor(*words[:-2], "--webhook", address)
    assert (code, "answered 404" in told) == (2, True)
    code, told = monitor(*words[:-2], "--webhook", "nowhere")
    assert (code, "is no address" in told) == (2, True)


def test_rules_and_dashboards_are_made_from_the_list_of_numbers(tmp_path: Path) -> None:
    for path in write_files(tmp_path):
        assert path.read_bytes() == (FILES / path.name).read_bytes(), f"python -m sluice.monitoring.dashboards {FILES}"
    names = {each.name for each in METRICS}
    assert yaml.safe_load((FILES / "alert-rules.yaml").read_text()) == alert_rules()
    grafana, perses = grafana_dashboard(), perses_dashboard()
    queries = [target["expr"] for panel in grafana["panels"] for target in panel["targets"]]
    assert all(any(name in query for query in queries) for name in names)
    assert grafana["panels"][0]["title"] == "Performance"
    assert len(perses["spec"]["panels"]) == len(grafana["panels"]) == len(perses["spec"]["layouts"][0]["spec"]["items"])


def exported() -> dict[str, set[str]]:
    """The labels of each series that the monitor or the server tells, by its name."""
    series = {each.name: {"model", *each.labels} for each in METRICS}
    serving = Metrics()
    serving.answered("/v1/predict", 200, "houses/1", 0.01)
    serving.forecast("houses/1", 3)
    rule = Rule()
    for family in text_string_to_metric_families(serving.text((Loaded("orders/1", rule),)).decode()):
        for sample in family.samples:
            series.setdefault(sample.name, set()).update(sample.labels)
    return series


def queries() -> list[str]:
    """Every expression of the rules and of both dashboards."""
    grafana, perses = grafana_dashboard(), perses_dashboard()
    found = [rule["expr"] for group in alert_rules()["groups"] for rule in group["rules"]]
    found += [target["expr"] for panel in grafana["panels"] for target in panel["targets"]]
    panels = [query for panel in perses["spec"]["panels"].values() for query in panel["spec"]["queries"]]
    return found + [query["spec"]["plugin"]["spec"]["query"] for query in panels]


def test_prometheus_takes_every_expression() -> None:
    for query in queries():
        promql_parser.parse(query.replace("$model", "x"))
    with pytest.raises(ValueError, match="invalid promql query"):
        promql_parser.parse("sum by (model)")


def test_every_number_of_rules_and_dashboards_is_told_by_the_monitor_or_the_server() -> None:
    series = exported()
    for query in queries():
        told = re.sub(r"\[\w+\]", "", query)
        names = set(re.findall(r"\bsluice_\w+", told))
        assert names, query
        assert names <= series.keys(), query
        labels = {name for inside in re.findall(r"\bby \(([^)]*)\)", told) for name in inside.split(", ")}
        labels |= set(re.findall(r"(\w+)=~?\"", told))
        assert labels <= set.union(*(series[name] for name in names)), query
    legends = [target["legendFormat"] for panel in grafana_dashboard()["panels"] for target in panel["targets"]]
    assert {name for text in legends for name in re.findall(r"{{(\w+)}}", text)} <= set.union(*series.values())
