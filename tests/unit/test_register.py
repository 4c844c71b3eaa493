"""Register against a real MLflow registry: versions, aliases, records, the gate, crashes, and loading back."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from sluice.artifacts.bundles import Bundle
from sluice.components.evaluate.run import judge
from sluice.components.evaluate.run import run as evaluate
from sluice.components.register import run as registration
from sluice.components.register.run import Registered, run
from sluice.core.errors import BadInput, EnvironmentFault
from sluice.evaluation.evaluation import write
from sluice.evaluation.evaluation_settings import EvaluationSettings, GateLimits
from sluice.modeling.baselines import Baseline
from sluice.modeling.model_files import Threshold
from sluice.registry import decision
from sluice.registry.appointing import appoint
from sluice.registry.promotions import promotions
from sluice.registry.served import SERVED, SERVED_HOW
from sluice.registry.versions import CHALLENGER, CHAMPION, version_by_alias, version_files, versions
from sluice.storage.locations import default_store
from tests.unit import small_world

SETTINGS = EvaluationSettings(
    GateLimits(max_calibration_error=0.2, slice_tolerance=0.02, min_slice_rows=40), resamples=60, seed=1
)


@dataclass
class Pipeline:
    """The second half of a pipeline over one split dataset.

    Attributes:
        data: The split dataset.
        folder: Where the steps' files go, those of each run in a folder of their own.
        runs: How many runs there were.
        draws: Whether evaluate's page is drawn, which takes a third of the time and tells register nothing.
    """

    data: Bundle
    folder: Path
    runs: int = 0
    draws: bool = False

    def evaluated(self, candidates: Mapping[str, Baseline], threshold: Threshold | None = None) -> tuple[Bundle, Path]:
        self.runs += 1
        place = self.folder / str(self.runs)
        models = small_world.models(self.data, place / "models", candidates, threshold=threshold)
        if self.draws:
            evaluate(self.data.uri, models.uri, SETTINGS, evaluation=place / "e.json", page=place / "e.html")
        else:
            write(judge(self.data.uri, models.uri, SETTINGS), place / "e.json")
        return models, place / "e.json"

    def register(self, models: Bundle, evaluation: Path) -> Registered:
        place = evaluation.parent
        return run(self.data.uri, models.uri, evaluation, result=place / "result.json", card=place / "card.md")

    def __call__(self, candidates: Mapping[str, Baseline]) -> Registered:
        return self.register(*self.evaluated(candidates))


@pytest.fixture
def pipeline(tracked_home: Path, tmp_path: Path) -> Pipeline:
    return Pipeline(small_world.splits(), tmp_path / "work")


def test_the_first_good_model_becomes_champion_and_can_be_loaded(pipeline: Pipeline) -> None:
    done = pipeline(small_world.GOOD)
    assert (done.version.version, done.version.aliases) == ("1", (CHALLENGER, CHAMPION))
    assert (done.record.decision, done.record.replaced, done.record.number) == ("promoted", None, 1)
    result = json.loads((pipeline.folder / "1" / "result.json").read_text())
    assert result["decision"] == "promoted"
    assert result["datasets"]["split"] == pipeline.data.id
    assert set(result["datasets"]) == {"ingest", "sample", "split"}
    assert result["candidates"][1]["metrics"]["roc_auc"]["low"] > 0.5
    rows = small_world.frame(20, 5)
    served = mlflow.pyfunc.load_model("models:/late@champion").predict(rows[["noise", "weather", "carrier"]])
    assert list(served.columns) == ["on time", "late"]
    assert served["late"].tolist() == rows["weather"].map(small_world.RATES).tolist()


def test_a_version_says_where_it_came_from(pipeline: Pipeline) -> None:
    version = pipeline(small_world.GOOD).version
    assert version.tags["sluice.splits"] == pipeline.data.id
    assert json.loads(version.tags["sluice.datasets"])["split"] == pipeline.data.id
    assert version.tags["sluice.model_digest"] == version.digest
    run = mlflow.get_run(version.run)
    assert run.data.metrics["test_roc_auc_low"] < run.data.metrics["test_roc_auc"]
    assert run.data.params["winner_seed"] == "1"
    card = (pipeline.folder / "1" / "card.md").read_text()
    for heading in ("Intended use", "Data", "Metrics", "Slices", "Limits", "Provenance"):
        assert f"\n## {heading}" in card
    assert version.digest in card


def test_the_threshold_and_what_a_model_takes_travel_with_it(pipeline: Pipeline) -> None:
    threshold = Threshold(0.4, "greatest F1 on the validation rows")
    done = pipeline.register(*pipeline.evaluated(small_world.GOOD, threshold))
    assert done.result["threshold"] == {"value": 0.4, "rule": threshold.rule}
    assert done.version.tags["sluice.threshold"] == "0.4"
    assert done.version.tags["sluice.threshold_rule"] == threshold.rule
    assert "a row is called `late` from 0.4 on, the greatest F1 on the validation rows" in done.card
    assert "| `weather` | string | `sun`, `rain`, `storm` | 0.0% |" in done.card
    assert "Takes `noise` (number), `weather` (string), `carrier` (string)." in str(
        mlflow.MlflowClient().get_model_version("late", "1").description
    )
    served = mlflow.pyfunc.load_model("models:/late@champion")
    rows = small_world.frame(20, 5)
    answer = served.predict(rows.assign(weather=rows["weather"].astype("category")), params={"decision": True})
    assert answer["decision"].tolist() == ["on time" if sky == "sun" else "late" for sky in rows["weather"]]


def test_the_card_says_which_population_its_numbers_speak_of(pipeline: Pipeline) -> None:
    models, evaluation = pipeline.evaluated(small_world.GOOD)
    text = "The numbers speak of the 9,000 rows of dataset abc; 600 of them were drawn."
    population = {"dataset": "abc", "rows": 9000, "drawn": 600, "draws": 1, "weighted": True, "text": text}
    population |= {"effective_rows": 431.4}
    evaluation.write_text(json.dumps({**json.loads(evaluation.read_text()), "population": population}))
    done = pipeline.register(models, evaluation)
    assert f"{text} That is worth 431 independent rows." in done.card
    assert done.result["population"] == population


def test_changed_code_of_the_champion_is_noticed(pipeline: Pipeline, tracked_home: Path) -> None:
    version = pipeline(small_world.GOOD).version
    path = next((tracked_home / "mlartifacts").rglob("tree_checks.py"))
    path.write_text(path.read_text() + "\n")
    with (
        pytest.raises(BadInput, match=r"^models:/.*/1: code: the code differs from the registered digest"),
        version_files(version),
    ):
        pass


def test_own_test_rows_are_taken_as_they_are(pipeline: Pipeline) -> None:
    pipeline(small_world.GOOD)
    rows = pd.read_parquet(Path(pipeline.data.uri) / "test")
    answer = mlflow.pyfunc.load_model("models:/late@champion").predict(rows)
    assert answer["late"].tolist() == rows["weather"].map(small_world.RATES).tolist()


def test_nothing_that_mlflow_keeps_is_a_pickle(pipeline: Pipeline, tracked_home: Path) -> None:
    pipeline(small_world.GOOD)
    kept = [path for path in (tracked_home / "mlartifacts").rglob("*") if path.is_file()]
    assert {path.suffix for path in kept} <= {"", ".json", ".yaml", ".txt", ".md", ".py"}
    assert all("code" in [parent.name for parent in path.parents] for path in kept if path.suffix == ".py")
    requirements = next(path for path in kept if path.name == "requirements.txt").read_text().split()
    assert all("==" in line for line in requirements)


def test_the_same_model_again_makes_no_new_version(pipeline: Pipeline) -> None:
    pipeline(small_world.GOOD)
    again = pipeline(small_world.GOOD)
    assert again.record.decision == "unchanged"
    assert again.version.version == "1"
    assert again.version.aliases == (CHALLENGER, CHAMPION)
    pipeline(small_world.GOOD)
    assert [record.decision for record in promotions(default_store(), "late")] == ["promoted", "unchanged"]


def test_a_worse_model_stays_challenger(pipeline: Pipeline) -> None:
    pipeline(small_world.GOOD)
    worse = pipeline(small_world.WORSE)
    assert (worse.record.decision, worse.version.version, worse.version.aliases) == ("refused", "2", (CHALLENGER,))
    assert "worse than the champion, version 1" in worse.record.reason
    champion = version_by_alias("late", CHAMPION)
    assert champion is not None
    assert champion.version == "1"
    evidence = promotions(default_store(), "late")[1].evidence
    assert evidence["champion"]["differences"]["log_loss"]["low"] > 0
    names = {check["name"] for check in evidence["checks"]}
    assert names == {"evidence", "baselines", "champion", "calibration", "slices"}


def test_a_better_model_replaces_the_champion(pipeline: Pipeline) -> None:
    pipeline(small_world.WORSE)
    better = pipeline(small_world.GOOD)
    assert (better.record.decision, better.record.replaced) == ("promoted", "1")
    assert better.version.aliases == (CHALLENGER, CHAMPION)
    first, second = promotions(default_store(), "late")
    assert second.previous
    assert (first.version, second.version) == ("1", "2")


def test_an_evaluation_against_another_champion_promotes_nothing(pipeline: Pipeline) -> None:
    models, evaluation = pipeline.evaluated(small_world.GOOD)
    pipeline(small_world.WORSE)
    late = pipeline.register(models, evaluation)
    assert late.record.decision == "refused"
    assert "champion changed" in late.record.reason


@pytest.mark.parametrize("place", ["before the version", "before the record", "before challenger", "before champion"])
def test_a_crash_leaves_a_state_that_the_next_run_completes(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    models, evaluation = pipeline.evaluated(small_world.GOOD)

    def broken(*_: object) -> None:
        raise EnvironmentFault("the power went")

    with monkeypatch.context() as patch:
        if place == "before the version":
            patch.setattr(registration, "add_version", broken)
        elif place == "before the record":
            patch.setattr(decision, "record_promotion", broken)
        else:
            patch.setattr(decision, "set_alias" if place == "before challenger" else "carry_out", broken)
        with pytest.raises(EnvironmentFault, match="power"):
            pipeline.register(models, evaluation)
    assert version_by_alias("late", CHAMPION) is None
    done = pipeline.register(models, evaluation)
    assert done.record.decision == "promoted"
    assert [version.version for version in versions("late")] == ["1"]
    assert version_by_alias("late", CHAMPION) == done.version


def test_a_champion_that_learned_from_the_test_rows_is_called_out(pipeline: Pipeline, tmp_path: Path) -> None:
    pipeline(small_world.WORSE)
    assert "learn from" not in champion_check(pipeline(small_world.GOOD))
    shifted = Pipeline(small_world.splits(cuts=(0.2, 0.4)), tmp_path / "shifted")
    # It learned up to 0.6 and stopped by the rows up to 0.8; the test rows are those from 0.4 to 1.
    assert "the 33% of the test rows that it did not learn from" in champion_check(shifted(small_world.WORSE))


def champion_check(done: Registered) -> str:
    (message,) = [check["message"] for check in done.result["checks"] if check["name"] == "champion"]
    return str(message)


def test_a_champion_that_cannot_judge_the_rows_is_not_replaced_by_a_machine(pipeline: Pipeline, tmp_path: Path) -> None:
    pipeline(small_world.GOOD)
    other = Pipeline(small_world.splits(renamed={"weather": "sky"}), tmp_path / "other")
    models = {"sky": small_world.rule("sky", small_world.RATES)}
    done = other(models)
    assert done.record.decision == "refused"
    assert "cannot judge these rows" in done.record.reason
    assert "weather" in done.record.reason


def test_changed_files_of_the_champion_are_noticed(pipeline: Pipeline, tracked_home: Path) -> None:
    version = pipeline(small_world.GOOD).version
    (path,) = (tracked_home / "mlartifacts").rglob("model.json")
    body = json.loads(path.read_text())
    path.write_text(json.dumps(body))
    with pytest.raises(BadInput, match="differ from the registered digest"), version_files(version):
        pass
    with pytest.raises(mlflow.MlflowException, match="differ from the registered digest"):
        mlflow.pyfunc.load_model("models:/late@champion")
    with pytest.raises(BadInput, match="differ from the registered digest"):
        pipeline(small_world.WORSE)


def test_an_evaluation_of_other_data_is_refused(pipeline: Pipeline) -> None:
    models, evaluation = pipeline.evaluated(small_world.GOOD)
    other = small_world.splits(seed=2)
    with pytest.raises(BadInput, match="judged splits"):
        replace(pipeline, data=other).register(models, evaluation)
    evaluation.write_text("{}")
    with pytest.raises(BadInput, match="no evaluation"):
        pipeline.register(models, evaluation)
    assert versions("late") == []


def test_a_broken_chain_of_records_stops_everything(pipeline: Pipeline) -> None:
    models, evaluation = pipeline.evaluated(small_world.WORSE)
    pipeline(small_world.GOOD)
    store = default_store()
    key = "promotions/late/000001.json"
    store.put_bytes(key, store.get_bytes(key).replace(b'"promoted"', b'"refused"'))
    with pytest.raises(BadInput, match=r"000001\.json is not the record whose SHA-256 the registry keeps"):
        pipeline.register(models, evaluation)
    with pytest.raises(BadInput, match=r"000001\.json is not the record"):
        pipeline.evaluated(small_world.WORSE)
    assert [version.version for version in versions("late")] == ["1"]


def test_a_model_that_passed_the_gate_waits_where_a_person_has_the_last_word(pipeline: Pipeline) -> None:
    models, evaluation = pipeline.evaluated(small_world.GOOD)
    register = partial(
        run, result=evaluation.parent / "result.json", card=evaluation.parent / "card.md", promotion="approval"
    )
    done = register(pipeline.data.uri, models.uri, evaluation)
    assert (done.record.decision, done.version.aliases) == ("waits", (CHALLENGER,))
    assert "waits for a person's approval" in done.record.reason
    with pytest.raises(BadInput, match="promotion"):
        register(pipeline.data.uri, models.uri, evaluation, promotion="nobody")
    assert appoint("late/1", "it looks well").decision == "appointed"
    assert version_by_alias("late", CHAMPION) is not None


def test_what_the_gate_refuses_may_be_left_without_a_folder_to_serve(pipeline: Pipeline) -> None:
    for quality, words in ((small_world.GOOD, ""), (small_world.WORSE, "served: passed")):
        models, evaluation = pipeline.evaluated(quality)
        register = partial(run, result=evaluation.parent / "result.json", card=evaluation.parent / "card.md")
        done = register(pipeline.data.uri, models.uri, evaluation, served="passed")
        assert ("`served: passed`" in done.version.tags[SERVED_HOW]) is bool(words)
        assert SERVED not in done.version.tags or not words
    with pytest.raises(BadInput, match="served"):
        register(pipeline.data.uri, models.uri, evaluation, served="none")
