"""MLMD's server of the hermetic images: what becomes of a call while its database is away.

Neither gRPC nor MLMD's library is installed where the tests run: they stand in here for what the server asks of them.
"""

import importlib.util
import sys
from enum import Enum
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

SERVER = Path(__file__).parents[2] / "platform/hermetic/images/ml-metadata-store-server/metadata_store_server.py"


class StatusCode(Enum):
    """Of gRPC's codes those that the server names, and one that the library returns."""

    UNKNOWN = (2, "unknown")
    NOT_FOUND = (5, "not found")
    ABORTED = (10, "aborted")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The server's module."""
    descriptor = SimpleNamespace(services_by_name={"MetadataStoreService": None})
    stand_ins: dict[str, dict[str, Any]] = {
        "grpc": {"StatusCode": StatusCode, "RpcMethodHandler": object, "ServicerContext": object},
        "ml_metadata": {},
        "ml_metadata.metadata_store": {},
        "ml_metadata.metadata_store.pywrap": {},
        "ml_metadata.metadata_store.pywrap.metadata_store_extension": {
            "metadata_store": SimpleNamespace(CreateMetadataStore=lambda config, migration: "a connection")
        },
        "ml_metadata.proto": {
            "metadata_store_pb2": SimpleNamespace(),
            "metadata_store_service_pb2": SimpleNamespace(DESCRIPTOR=descriptor),
        },
    }
    for name, content in stand_ins.items():
        module = ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
    spec = importlib.util.spec_from_file_location("metadata_store_server", SERVER)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module.time, "sleep", lambda seconds: None)
    return module


def store(server: Any) -> Any:
    mysql = SimpleNamespace(host="mysql", port=3306)
    config = SimpleNamespace(mysql=mysql, SerializeToString=lambda: b"")
    return server.Store(config, SimpleNamespace(SerializeToString=lambda: b""))


class Database:
    """Answers as the library does: a few times that the connection is lost, then the answer."""

    def __init__(self, *lost: Any) -> None:
        self.lost, self.asked = list(lost), 0

    def __call__(self, connection: Any, request: bytes) -> tuple[bytes, bytes, int]:
        self.asked += 1
        if self.lost:
            said = self.lost.pop(0)
            if isinstance(said, Exception):
                raise said
            return b"", said, 13
        return b"answer to " + request, b"", 0


GONE = b"mysql_query failed: errno: 2006, error: MySQL server has gone away"


def test_a_call_waits_for_a_database_that_restarts(server: Any) -> None:
    database = Database(GONE, RuntimeError("Can't connect to MySQL server"), GONE)
    assert store(server).call(database, b"1", lambda: True) == (b"answer to 1", "", None)
    assert database.asked == 4


def test_a_call_whose_client_has_gone_or_whose_time_is_over_ends(server: Any) -> None:
    for active, seconds in ((lambda: False, 60.0), (lambda: True, -1.0)):
        database = Database(*[GONE] * 9)
        _, text, status = store(server).call(database, b"1", active, seconds)
        assert status is StatusCode.ABORTED
        assert "the connection to the database is lost" in text
        assert database.asked == 1


def test_what_the_database_refuses_is_told_at_once(server: Any) -> None:
    def refuses(connection: Any, request: bytes) -> tuple[bytes, bytes, int]:
        return b"", b"no such execution", 5

    assert store(server).call(refuses, b"1", lambda: True) == (b"", "no such execution", StatusCode.NOT_FOUND)
