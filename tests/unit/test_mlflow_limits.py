"""Which requests the accounts of steps may make at MLflow, by path and method alone, however these are written."""

from base64 import b64encode
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.server import auth, handlers  # noqa: F401 - the routes that MLflow has

from sluice.mlflow_server.limits import Role, canonical, refusal, username

CHANGING = ("POST", "PUT", "PATCH", "DELETE")


def registry_routes() -> list[tuple[str, str]]:
    """Every route of MLflow's registry that changes something."""
    found = set()
    for path, _, methods in handlers.get_endpoints():
        for method in set(methods) & set(CHANGING):
            if "registered-models" in path or "model-versions" in path:
                found.add((method, path))
    return sorted(found)


def test_steps_reach_no_route_that_changes_the_registry() -> None:
    routes = registry_routes()
    assert len(routes) >= 20
    for method, path in routes:
        assert refusal(method, canonical(path), role="steps"), (method, path)


def test_the_register_step_reaches_what_it_needs() -> None:
    for path in ("registered-models/create", "registered-models/alias", "model-versions/create", "runs/log-batch"):
        assert not refusal("POST", canonical(f"/api/2.0/mlflow/{path}"), role="register"), path
    for path in ("registered-models/alias", "registered-models/delete-tag", "model-versions/delete"):
        assert not refusal("DELETE", canonical(f"/api/2.0/mlflow/{path}"), role="register"), path
        assert refusal("DELETE", canonical(f"/api/2.0/mlflow/{path}"), role="steps"), path
    for path in ("registered-models/delete", "logged-models/m-1", "experiments/delete", "users/delete"):
        assert refusal("DELETE", canonical(f"/api/2.0/mlflow/{path}"), role="register"), path


def test_model_servers_read_and_change_nothing() -> None:
    for method, path in registry_routes():
        assert refusal(method, canonical(path), role="serving"), (method, path)
    for method, path in (("GET", "registered-models/get"), ("GET", "model-versions/get"), ("POST", "runs/search")):
        assert not refusal(method, canonical(f"/api/2.0/mlflow/{path}"), role="serving"), path
    for method, path in (
        ("POST", "api/2.0/mlflow/runs/create"),
        ("PUT", "api/2.0/mlflow/runs/search"),
        ("PUT", "api/2.0/mlflow-artifacts/artifacts/1/search"),
        ("POST", "api/2.0/mlflow-artifacts/mpu/create/1/search"),
    ):
        assert refusal(method, canonical(path), role="serving"), path


@pytest.mark.parametrize("role", ["steps", "register"])
def test_what_steps_do_all_day_is_let_through(role: Role) -> None:
    for method, path in (
        ("GET", "registered-models/get"),
        ("GET", "model-versions/search"),
        ("POST", "experiments/create"),
        ("POST", "runs/create"),
        ("POST", "runs/search"),
        ("POST", "runs/delete"),
        ("POST", "runs/delete-tag"),
        ("POST", "logged-models"),
    ):
        assert not refusal(method, canonical(f"/api/2.0/mlflow/{path}"), role=role), path


@given(
    route=st.sampled_from(registry_routes()),
    encoded=st.sets(st.integers(0, 60)),
    times=st.integers(1, 3),
    slashes=st.integers(1, 3),
    upper=st.booleans(),
)
def test_however_a_path_is_written_it_is_refused(
    route: tuple[str, str], encoded: set[int], times: int, slashes: int, upper: bool
) -> None:
    method, path = route
    path = path.upper() if upper else path
    for _ in range(times):
        path = "".join(f"%{ord(c):02x}" if i in encoded else c for i, c in enumerate(path))
    path = path.replace("/", "/" * slashes)
    assert refusal(method, canonical(path), role="steps")


@given(st.text(max_size=30))
def test_a_path_comes_out_the_same_however_often_it_was_encoded(text: str) -> None:
    plain = text.encode("utf-8", "replace").decode()
    assert canonical(quote(quote(plain))) == canonical(plain)


def encode(text: str) -> str:
    return b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("header", "read"),
    [
        (f"Basic {encode('steps:secret')}", (True, "steps")),
        (f"bAsIc {encode('steps:a:b')}", (True, "steps")),
        (f"Basic  {encode('steps:secret')} ", (True, "steps")),
        (f"Basic {encode('steps')}", (True, "steps")),
        (f"Basic\t{encode('steps:secret')}", (False, "")),
        (f"Basic {encode('steps:secret')}!", (False, "")),
        (f"Basic {encode(':secret')}", (False, "")),
        ("Basic", (False, "")),
        ("", (False, "")),
        ("Bearer token", (True, "")),
    ],
)
def test_a_name_is_read_as_mlflow_reads_it_or_not_at_all(header: str, read: Any) -> None:
    assert username([header.encode("latin-1")]) == read
    assert username([header.encode("latin-1")] * 2) == (False, "")


def test_without_a_header_it_is_mlflow_s_to_say_so() -> None:
    assert username([]) == (True, "")
