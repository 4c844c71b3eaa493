#!/usr/bin/python3.11
"""The gRPC server of ML Metadata, with the official server's flags, on the C++ library of the Python package.

Requests and answers pass through as bytes: the library decodes them itself. There is one connection to the database,
since the library's calls are not safe to run at once on one. When the database goes away, calls wait for it: KFP's
clients ask again for a second at most, and a step that could not say how it ended has failed.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import text_format
from ml_metadata.metadata_store.pywrap.metadata_store_extension import metadata_store as library
from ml_metadata.proto import metadata_store_pb2, metadata_store_service_pb2

SERVICE = metadata_store_service_pb2.DESCRIPTOR.services_by_name["MetadataStoreService"]
STATUS = {code.value[0]: code for code in grpc.StatusCode}
# What MySQL's client library says of a connection that is gone
LOST = (
    "Can't connect to",
    "Connection was killed",
    "Lost connection to",
    "Server shutdown in progress",
    "has gone away",
    "mysql_real_connect failed",
)
CONNECT_SECONDS = 120
HOLD_SECONDS = 180  # how long a call waits for a database that is away
GRACE_SECONDS = 5

Call = Callable[[Any, bytes], "tuple[bytes, bytes, int]"]


class Store:
    """A connection to the database, made anew when the database has been away."""

    def __init__(self, config: Any, migration: Any) -> None:  # noqa: ANN401 - generated messages have no types
        mysql = config.mysql
        self._place = f"{mysql.host}:{mysql.port}" if mysql.host else config.sqlite.filename_uri
        self._config = config.SerializeToString()
        self._migration = migration.SerializeToString()
        self._lock = threading.Lock()
        self._store: Any = None

    def connect(self) -> None:
        """Connect, within CONNECT_SECONDS; end the program with exit code 1 where that is not enough."""
        deadline = time.monotonic() + CONNECT_SECONDS
        while True:
            try:
                self._open()
                return
            except RuntimeError as error:
                if time.monotonic() > deadline:
                    sys.exit(f"metadata_store_server: waited {CONNECT_SECONDS} s for {self._place}: {error}")
                print(f"waiting for the database at {self._place}: {first_line(error)}", flush=True)
                time.sleep(1)

    def call(
        self, function: Call, request: bytes, active: Callable[[], bool], seconds: float = HOLD_SECONDS
    ) -> tuple[bytes, str, grpc.StatusCode | None]:
        """Return the answer, or a message and its status; while the database is away, wait for it.

        Args:
            function: One of the library's.
            request: Its message, serialized.
            active: Whether the client still waits.
            seconds: The longest to wait.
        """
        deadline, told = time.monotonic() + seconds, False
        while True:
            answer, text, status = self._try(function, request)
            if status is not grpc.StatusCode.ABORTED or not active() or time.monotonic() > deadline:
                return answer, text, status
            if not told:
                print(f"waiting for the database at {self._place}: {text}", flush=True)
                told = True
            time.sleep(1)

    def _try(self, function: Call, request: bytes) -> tuple[bytes, str, grpc.StatusCode | None]:
        """Return the answer, or a message and its status.

        A lost connection ends the call as ABORTED, as a transaction that others have undone: clients try those again.
        """
        with self._lock:
            try:
                if self._store is None:
                    self._open()
                answer, message, code = function(self._store, request)
            except RuntimeError as error:
                self._store = None
                return b"", f"the database at {self._place} is away: {first_line(error)}", grpc.StatusCode.ABORTED
        text = message.decode("utf-8", "replace")
        if code and any(mark in text for mark in LOST):
            self._store = None
            return b"", f"the connection to the database is lost: {text}", grpc.StatusCode.ABORTED
        return answer, text, STATUS.get(code, grpc.StatusCode.UNKNOWN) if code else None

    def _open(self) -> None:
        self._store = library.CreateMetadataStore(self._config, self._migration)


def first_line(error: Exception) -> str:
    """Return the first line of an error's text."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def handler(store: Store, function: Call) -> grpc.RpcMethodHandler:
    """Return the gRPC handler of one of the library's functions."""

    def serve(request: bytes, context: grpc.ServicerContext) -> bytes:
        answer, message, status = store.call(function, request, context.is_active)
        if status is not None:
            context.abort(status, message)
        return answer

    return grpc.unary_unary_rpc_method_handler(serve)


def serve(store: Store, port: int) -> None:
    """Serve until SIGTERM or SIGINT."""
    options = [
        ("grpc.max_receive_message_length", -1),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_metadata_size", 16384),
    ]
    server = grpc.server(futures.ThreadPoolExecutor(16), options=options)
    functions = {method.name: getattr(library, method.name, None) for method in SERVICE.methods}
    handlers = {name: handler(store, function) for name, function in functions.items() if function}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE.full_name, handlers),))
    if not server.add_insecure_port(f"0.0.0.0:{port}"):
        sys.exit(f"metadata_store_server: port {port} cannot be listened on")
    server.start()
    print(f"Server listening on 0.0.0.0:{port}", flush=True)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    ended.wait()
    server.stop(GRACE_SECONDS).wait()


def configuration(options: argparse.Namespace) -> tuple[Any, Any]:
    """Return the connection and migration messages that the flags stand for.

    The configuration file stands above the flags of the connection, as in the official server.
    """
    config = metadata_store_pb2.MetadataStoreServerConfig()
    if options.metadata_store_server_config_file:
        path = Path(options.metadata_store_server_config_file)
        try:
            text_format.Parse(path.read_text(encoding="utf-8"), config)
        except OSError as error:
            sys.exit(f"metadata_store_server: {path}: {error.strerror}")
        except text_format.ParseError as error:  # its text holds a line and a column, no value
            sys.exit(f"metadata_store_server: {path}: line {error.GetLine()}: not a MetadataStoreServerConfig")
    elif options.mysql_config_host:
        mysql = config.connection_config.mysql
        mysql.host, mysql.port = options.mysql_config_host, options.mysql_config_port
        mysql.database, mysql.user = options.mysql_config_database, options.mysql_config_user
        mysql.password = options.mysql_config_password
    elif options.sqlite:
        sqlite = config.connection_config.sqlite
        sqlite.filename_uri, sqlite.connection_mode = options.sqlite, sqlite.READWRITE_OPENCREATE
    else:
        flags = "--metadata_store_server_config_file, --mysql_config_host or --sqlite"
        sys.exit(f"metadata_store_server: no database: give {flags}")
    if options.enable_database_upgrade:
        config.migration_options.enable_upgrade_migration = True
    return config.connection_config, config.migration_options


def boolean(text: str) -> bool:
    """Return the value of a flag as the official server reads it."""
    if text.lower() not in ("true", "false", "1", "0"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return text.lower() in ("true", "1")


def parser() -> argparse.ArgumentParser:
    """Return the command line: the official server's flags, and --sqlite."""
    flags = argparse.ArgumentParser(prog="metadata_store_server", allow_abbrev=False)
    flags.add_argument("--grpc_port", type=int, default=8080)
    flags.add_argument("--mysql_config_host", default="")
    flags.add_argument("--mysql_config_port", type=int, default=3306)
    flags.add_argument("--mysql_config_database", default="")
    flags.add_argument("--mysql_config_user", default="")
    flags.add_argument("--mysql_config_password", default="")
    flags.add_argument("--enable_database_upgrade", type=boolean, nargs="?", const=True, default=False)
    flags.add_argument("--metadata_store_server_config_file", default="")
    # The official server's, of no use here: messages are unbounded, and connecting ends after CONNECT_SECONDS.
    flags.add_argument("--grpc_channel_arguments", default="")
    flags.add_argument("--metadata_store_connection_retries", type=int, default=5)
    flags.add_argument("--sqlite", default="", help="path of an SQLite file: ours, for trying out")
    return flags


def main() -> None:
    """Run the command line."""
    options = parser().parse_args()
    store = Store(*configuration(options))
    store.connect()
    serve(store, options.grpc_port)


if __name__ == "__main__":
    main()
