"""Evidence that somebody changed afterwards is refused by name: records, their head, aliases, tags, manifests."""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import mlflow
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sluice.artifacts.manifests import Manifest, parse_manifest
from sluice.core.digests import canonical_json, sha256_bytes
from sluice.core.errors import BadInput
from sluice.registry import champions
from sluice.registry.appointing import appoint, roll_back
from sluice.registry.promotions import promotion_chain
from sluice.registry.versions import CHAMPION, version_by_alias
from sluice.running.doctor import champions as examined
from sluice.running.doctor import examine
from sluice.running.lineage import lineage
from sluice.storage.local_store import LocalStore
from sluice.storage.locations import default_store
from tests.unit import small_world
from tests.unit.test_manifests import recomputed_id
from tests.unit.test_register import Pipeline

REASON = "it disappoints"


@pytest.fixture(scope="module")
def two_champions(empty_tracking: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home where version 2 replaced version 1; tests work on copies."""
    home = tmp_path_factory.mktemp("champions") / "home"
    home.mkdir()
    shutil.copyfile(empty_tracking, home / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLUICE_HOME", str(home))
        for name in ("MLFLOW_TRACKING_URI", "SLUICE_STORE", "SLUICE_RUN", "SLUICE_PIPELINE"):
            patch.delenv(name, raising=False)
        pipeline = Pipeline(small_world.splits(), home.parent / "work")
        assert pipeline(small_world.WORSE).record.decision == "promoted"
        assert pipeline(small_world.GOOD).record.decision == "promoted"
        assert pipeline(small_world.USELESS).record.decision == "refused"
        yield home


@pytest.fixture
def home(two_champions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    copy = tmp_path / "home"
    shutil.copytree(two_champions, copy)
    monkeypatch.setenv("SLUICE_HOME", str(copy))
    for name in ("MLFLOW_TRACKING_URI", "SLUICE_STORE", "SLUICE_RUN", "SLUICE_PIPELINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(champions, "_PAUSES", (0.0,))
    lineage("late")  # and MLflow points here
    return copy


def record_file(home: Path, number: int) -> Path:
    return home / "store" / "promotions" / "late" / f"{number:06}.json"


def edit_record(home: Path, number: int, **changes: Any) -> None:
    path = record_file(home, number)
    path.write_bytes(canonical_json({**json.loads(path.read_bytes()), **changes}))


def edit_last_record(home: Path) -> None:
    edit_record(home, 3, decision="promoted", reason="It is better.", replaced="2")


def edit_first_record(home: Path) -> None:
    edit_record(home, 1, reason="It was never better.")


def remove_last_record(home: Path) -> None:
    record_file(home, 3).unlink()


def remove_all_records(home: Path) -> None:
    shutil.rmtree(record_file(home, 1).parent)


def append_a_record(home: Path) -> None:
    chain = promotion_chain(default_store(), "late")
    body = asdict(chain.records[-1]) | {"number": 4, "decision": "promoted", "previous": chain.digests[-1]}
    record_file(home, 4).write_bytes(canonical_json(body))


def client() -> mlflow.MlflowClient:
    return mlflow.MlflowClient()


def move_alias(_: Path) -> None:
    client().set_registered_model_alias("late", CHAMPION, "1")


def move_alias_past_the_gate(_: Path) -> None:
    client().set_registered_model_alias("late", CHAMPION, "3")


def remove_alias(_: Path) -> None:
    client().delete_registered_model_alias("late", CHAMPION)


def remove_head(_: Path) -> None:
    client().delete_registered_model_tag("late", champions.HEAD)


def set_head_back(home: Path) -> None:
    client().set_registered_model_tag("late", champions.HEAD, f"2 {sha256_bytes(record_file(home, 2).read_bytes())}")


def garble_head(_: Path) -> None:
    client().set_registered_model_tag("late", champions.HEAD, "3 abc")


def forge_digest(_: Path) -> None:
    client().set_model_version_tag("late", "2", "sluice.model_digest", "e" * 64)


def remove_champion(_: Path) -> None:
    client().delete_model_version("late", "2")


@pytest.mark.parametrize(
    ("attack", "said"),
    [
        (edit_last_record, r"000003\.json is not the record whose SHA-256 the registry keeps"),
        (edit_first_record, r"000002\.json does not follow"),
        (remove_last_record, "holds 2 records, and the registry knows of 3"),
        (remove_all_records, "holds 0 records, and the registry knows of 3"),
        (
            move_alias,
            r"points to version 1, but by .*000002\.json version 2 is champion.*promote late/1 --reason TEXT`$",
        ),
        (move_alias_past_the_gate, "points to version 3, but by .*put it back with `sluice promote late/2 "),
        (remove_alias, "alias champion is not set"),
        (append_a_record, r"000004\.json is a record that no run told the registry of"),
        (garble_head, r"000003\.json is not the record"),
        (forge_digest, "version 2, champion by .* has another digest"),
        (remove_champion, "alias champion is not set"),
    ],
    ids=lambda given: getattr(given, "__name__", ""),
)
def test_lineage_doctor_and_the_next_run_refuse(home: Path, attack: Callable[[Path], None], said: str) -> None:
    assert examined().level == "ok"
    attack(home)
    with pytest.raises(BadInput, match=said):
        lineage("late/2" if attack is not remove_champion else "late/1")
    with pytest.raises(BadInput, match=said):
        examined()
    with pytest.raises(BadInput, match=said):
        champions.champion_version(default_store(), "late")


@pytest.mark.parametrize("attack", [set_head_back, remove_head])
def test_what_is_not_carried_out_is_no_fact(home: Path, attack: Callable[[Path], None]) -> None:
    attack(home)
    with pytest.raises(BadInput, match=r"\d\.json is written, but the registry does not know of it"):
        lineage("late")
    assert examined().level == "error"
    champions.carry_out(default_store(), "late")  # as the next run does
    assert lineage("late").model.version == "2"


def test_the_registry_forgets_the_announcements_of_long_ago(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(champions, "_KEPT_ANNOUNCEMENTS", 2)
    roll_back("late", REASON)
    tags = client().get_registered_model("late").tags
    assert sorted(key.split(".")[2] for key in tags if key.startswith(champions.ANNOUNCED)) == ["3", "4"]


def test_a_model_that_was_removed_from_the_registry_has_no_way_back(home: Path) -> None:
    client().delete_registered_model("late")
    with pytest.raises(BadInput, match=r"no run told the registry of|holds no model late any more"):
        roll_back("late", REASON)


def test_a_version_that_took_over_a_number_does_not_take_over_its_decisions(home: Path) -> None:
    edit_record(home, 3, digest="f" * 64)
    head = f"3 {sha256_bytes(record_file(home, 3).read_bytes())}"
    client().set_registered_model_tag("late", champions.HEAD, head)
    assert lineage("late/3").decisions == ()


def leaves(body: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths to all values of a JSON document."""
    pairs = body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ()
    for key, value in pairs:
        yield from leaves(value, (*path, key))
    if not isinstance(body, dict | list):
        yield path


def changed(body: Any, path: tuple[Any, ...], value: Any) -> Any:
    copy = json.loads(json.dumps(body))
    place = copy
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return copy


def other(value: Any) -> Any:
    return f"{value}x" if isinstance(value, str) else (value or 0) + 1


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_no_value_of_a_manifest_can_be_changed(home: Path, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(sorted(home.glob("store/*/*/manifest.json"))))
    if str(path.parent.name) not in {entry.id for entry in lineage("late").origins}:
        return
    before = path.read_bytes()
    body = json.loads(before)
    place = data.draw(st.sampled_from(sorted(leaves(body), key=str)))
    forged = changed(body, place, other(value_at(body, place)))
    if data.draw(st.booleans()) and forged.get("version") == 2:
        forged["id"] = recomputed_id(forged)  # an attacker can compute, too
    try:
        path.write_text(json.dumps(forged))
        with pytest.raises(BadInput, match=r"manifest\.json"):
            lineage("late")
    finally:
        path.write_bytes(before)


def value_at(body: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        body = body[key]
    return body


def test_a_manifest_is_not_passed_off_as_one_of_the_first_version(home: Path) -> None:
    ingested = lineage("late").origins[0].id
    path = home / "store" / "datasets" / ingested / "manifest.json"
    old: Manifest = parse_manifest(path.read_bytes(), "here")
    body = json.loads(old.to_json()) | {"version": 1, "details": {"sources": []}}
    path.write_text(json.dumps(body | {"id": recomputed_id(body)}))
    with pytest.raises(BadInput, match="does not match its address"):
        lineage("late")


@pytest.mark.parametrize(
    "tag", ["sluice.commit", "sluice.run", "sluice.evaluation", "sluice.candidate", "sluice.manifests", "sluice.new"]
)
def test_no_tag_of_a_version_can_be_changed(home: Path, tag: str) -> None:
    client().set_model_version_tag("late", "2", tag, "{}")
    with pytest.raises(BadInput, match=r"late/2: its tags in the registry are not those that .*000002\.json"):
        lineage("late")
    client().set_model_version_tag("late", "1", "reviewed", "yes")  # people's own tags are theirs
    assert lineage("late/1").decisions


def test_the_way_back_is_on_record(home: Path) -> None:
    record = roll_back("late", REASON)
    assert (record.decision, record.version, record.replaced, record.reason) == ("restored", "1", "2", REASON)
    assert lineage("late").model.version == "1"
    assert lineage("late/2").replaced_by == "1"
    record = roll_back("late", REASON)
    assert (record.decision, record.version, record.number) == ("restored", "2", 5)
    assert examined().level == "ok"


def test_a_model_that_a_person_took_back_is_not_promoted_by_a_run(home: Path, tmp_path: Path) -> None:
    roll_back("late", REASON)
    done = Pipeline(small_world.splits(), tmp_path / "work")(small_world.GOOD)
    assert (done.record.decision, done.version.version) == ("refused", "2")
    assert f"A person took this model back (record 4: {REASON})" in done.record.reason
    assert lineage("late").model.version == "1"
    assert appoint("late/2", REASON).decision == "restored"


def test_a_hand_that_moved_the_alias_is_put_on_record_or_undone(home: Path) -> None:
    move_alias(home)
    assert appoint("late/1", REASON).decision == "restored"
    assert lineage("late").model.version == "1"
    move_alias_past_the_gate(home)
    assert appoint("late/1", REASON).number == 4, "nothing new was decided"
    assert lineage("late").model.version == "1"
    record = appoint("late/3", REASON)
    assert (record.decision, record.replaced, record.reason) == ("appointed", "1", REASON)
    assert lineage("late").model.version == "3"


def test_a_champion_that_was_removed_from_the_registry_is_replaced_or_withdrawn(home: Path) -> None:
    remove_champion(home)
    assert roll_back("late", REASON).version == "1"
    client().delete_model_version("late", "1")
    assert roll_back("late", REASON).decision == "withdrawn"
    assert version_by_alias("late", CHAMPION) is None
    assert champions.champion_version(default_store(), "late") is None
    assert examined().level == "ok"


@pytest.mark.parametrize(
    ("call", "given", "reason", "said"),
    [
        (appoint, "late/9", REASON, "'late/9' is no version that Sluice registered; known: late/1, late/2, late/3"),
        (appoint, "early/1", REASON, "known: none"),
        (appoint, "late", REASON, "names no version"),
        (appoint, "late@champion", REASON, "names no version"),
        (appoint, "late/1", " \n", "--reason has 0 characters"),
        (roll_back, "late", "x" * 1001, "--reason has 1001 characters"),
        (roll_back, "early", REASON, "no version of early ever was champion"),
        (roll_back, "late/1", REASON, "no model's name alone"),
    ],
)
def test_a_wrong_word_changes_nothing(
    home: Path, call: Callable[[str, str], object], given: str, reason: str, said: str
) -> None:
    with pytest.raises(BadInput, match=said):
        call(given, reason)
    assert lineage("late").model.version == "2"


def test_no_record_follows_one_that_was_changed(home: Path) -> None:
    edit_last_record(home)
    with pytest.raises(BadInput, match="is not the record"):
        appoint("late/1", REASON)
    assert not record_file(home, 4).exists()


def test_a_store_that_ignores_the_condition_of_a_put_is_told_of(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(store: LocalStore, key: str, data: bytes) -> bool:
        store.put_bytes(key, data)
        return True

    assert [found.level for found in examine() if found.name == "store"] == ["ok"]
    monkeypatch.setattr(LocalStore, "put_if_absent", careless)
    (found,) = [found for found in examine() if found.name == "store"]
    assert (found.level, "honours conditional puts" in found.message) == ("error", True)
    assert not list((home / "store" / "doctor").iterdir())
