"""The settings: each variable once, frozen, silent about secrets; docs/settings.md and the chart agree with them."""

import ast
import re
from pathlib import Path

import pytest

from sluice.core.environment import changed_variables
from sluice.core.errors import BadInput
from sluice.core.settings import Settings, settings
from sluice.core.variable_groups.mlflow_server import MlflowServerVariables
from sluice.core.variable_groups.stores import AzureVariables, S3Variables, SourceVariables, StoreVariables
from sluice.core.variable_groups.tracking import TrackingVariables
from sluice.core.variables import SetBy, Variable
from sluice.project_tools.project_reference import with_reference
from sluice.project_tools.settings_reference import settings_reference

ROOT = Path(__file__).parents[2]
NAME = re.compile(r"\b(?:SLUICE|MLFLOW|AWS|AZURE|GCE|GOOGLE|PG)_?[A-Z0-9_]*[A-Z0-9]\b(?!_)")
NO_VARIABLES = {"PGDATA"}  # PostgreSQL's server, which is no program of Sluice's
PYTHON = [path for folder in ("platform/sluice", "components", "pipelines") for path in (ROOT / folder).rglob("*.py")]
OURS = [name for field in Settings.variables() for name in field.names]


def test_the_documentation_is_made_from_the_settings() -> None:
    text = (ROOT / "docs" / "settings.md").read_text()
    assert with_reference(text, settings_reference()) == text, "run python -m sluice.project_tools.settings_reference"


def test_each_variable_stands_in_the_settings_once() -> None:
    assert len(OURS) == len(set(OURS)) > 150


def test_each_first_variable_of_a_table_s_row_has_a_meaning() -> None:
    for group in Settings.groups():
        for by in SetBy:
            told = [field.told.meaning for field in group.fields() if field.told.by is by]
            assert not told or told[0], f"{group.__name__}, {by}"


def test_variables_are_read_through_the_settings_alone() -> None:
    readers = {path.relative_to(ROOT).as_posix() for path in PYTHON if "variable_text" in path.read_text()}
    assert readers == {"platform/sluice/core/environment.py", "platform/sluice/core/variables.py"}
    copied = re.compile(r"\bvariables\(\)(?:\[|\.get\()")
    ours = {path.relative_to(ROOT).as_posix() for path in PYTHON if copied.search(path.read_text())}
    assert ours == {"platform/sluice/core/variable_groups/stores.py"}, (
        "of a lake's databases alone, whose names are free"
    )


def test_the_name_of_a_variable_stands_in_the_settings_alone() -> None:
    names, found = set(OURS), []
    for path in PYTHON:
        if path.parent.name != "variable_groups" and path.name != "bounds.py":
            texts = (node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant))
            found += [f"{path}: {text}" for text in texts if isinstance(text, str) and text in names]
    assert found == []


def test_every_variable_of_the_chart_is_in_the_settings() -> None:
    texts = [path.read_text() for path in (ROOT / "charts/sluice/templates").rglob("*") if path.is_file()]
    named = {name for text in texts for name in NAME.findall(text)} - NO_VARIABLES
    assert {"SLUICE_STORE", "PGUSER", "AWS_CA_BUNDLE", "SLUICE_GATEWAY_SOCKET"} <= named
    assert not named - set(OURS)


def test_a_group_is_frozen_and_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*S3Variables.region.names, *StoreVariables.tries.names):
        monkeypatch.delenv(name, raising=False)
    before = settings().s3
    assert before is settings().s3
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    assert (before.region, settings().s3.region) == ("", "eu-central-1")
    with changed_variables({"AWS_REGION": "eu-west-1"}):
        assert (settings().s3.region, settings().s3.name_of(S3Variables.region)) == ("eu-west-1", "AWS_REGION")
    assert settings().s3.name_of(S3Variables.region) == "AWS_DEFAULT_REGION"
    with pytest.raises(AttributeError, match="AWS_REGION"):
        before.region = "us-east-1"  # type: ignore[misc]


def test_an_empty_variable_counts_as_one_that_is_not_set() -> None:
    given = StoreVariables({"SLUICE_STORE_TRIES": "", "SLUICE_STORE": "s3://bucket"})
    assert (given.tries, given.address, given.is_set(StoreVariables.tries)) == (4, "s3://bucket", False)
    assert given.is_there(StoreVariables.tries)
    assert given.texts(StoreVariables.tries, StoreVariables.address) == {"SLUICE_STORE": "s3://bucket"}


def test_what_nobody_asks_for_is_not_refused() -> None:
    given = StoreVariables({"SLUICE_STORE_TRIES": "many", "SLUICE_STORE": "s3://bucket"})
    assert given.address == "s3://bucket"
    with pytest.raises(BadInput, match=r"^SLUICE_STORE_TRIES='many': give a whole number from 1 to 100, or unset it$"):
        _ = given.tries


def test_of_a_secret_nothing_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = [field for field in Settings.variables() if field.is_secret]
    assert {field.name for field in secrets} >= {"AWS_SECRET_ACCESS_KEY", "PGPASSWORD", "MLFLOW_TRACKING_TOKEN"}
    assert [field.name for field in Settings.variables() if looks_secret(field) and not field.is_secret] == []
    environment = {field.name: "open-sesame" for field in secrets}
    for kind in (S3Variables, AzureVariables, TrackingVariables, MlflowServerVariables, SourceVariables):
        group = kind(environment)
        values = [group.value(field) for field in group.fields() if field.is_secret]
        assert values
        assert all(value.reveal() == "open-sesame" for value in values)
        assert "open-sesame" not in f"{group} {group!r} {values} {values[0]}"
    monkeypatch.setenv("SLUICE_SOURCE_SALES", "postgresql://u:open-sesame@h/d")
    assert SourceVariables.named("SLUICE_SOURCE_SALES").reveal().endswith("@h/d")


def looks_secret(field: Variable[object]) -> bool:
    return bool(re.search(r"(PASSWORD|SECRET|SECRET_KEY|ACCOUNT_KEY|ACCESS_KEY|TOKEN)$", field.name))
