"""What the registry says of one model, asked every second and without MLflow, whose import takes 250 MB and seconds.

A server of MLflow's is asked over its REST API, with the accounts and the certificates that all of Sluice uses. A
database of MLflow's on this machine is read, and never written, by the two tables that hold aliases and tags.

Source: MLflow's REST API 2.0, `registered-models/get` and `model-versions/get`; the tables `registered_model_aliases`
and `model_version_tags` of its models (mlflow.store.model_registry.dbmodels); the tests hold both to MLflow's client.
"""

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlencode

from sluice.core.addresses import is_web_address, redacted, shown, without_login
from sluice.core.authorities import tls_context
from sluice.core.errors import BadInput, EnvironmentFault
from sluice.core.mlflow_settings import URI, check_mlflow_settings
from sluice.modeling.model_digests import DIGEST
from sluice.registry.mlflow_access import tracking_uri
from sluice.registry.registry_server import account_header

_WORKSPACE = "default"
_SECONDS = 5.0  # that one answer may take: the next look comes soon
_ANSWER_BYTES = 4 * 2**20
_SQLITE = "sqlite:///"
_BUSY_SECONDS = 2.0


@dataclass(frozen=True)
class Registered:
    """A version that an alias points to.

    Attributes:
        model: The registered model's name.
        version: Its number, as MLflow writes it.
        digest: SHA-256 of the registered files.
        tags: All its tags.
        created: Milliseconds since 1970; 0 where that was not asked for.
    """

    model: str
    version: str
    digest: str
    tags: Mapping[str, str] = field(default_factory=dict, repr=False)
    created: int = 0

    @property
    def name(self) -> str:
        """`MODEL/version`."""
        return f"{self.model}/{self.version}"


class Registry(Protocol):
    """A registry that can be asked often."""

    def aliases(self, model: str) -> dict[str, str]:
        """The version's number by alias.

        Raises:
            BadInput: There is no such model.
            EnvironmentFault: The registry is down or denies access.
        """
        ...

    def all_aliases(self) -> dict[str, dict[str, str]]:
        """The same of every model, by its name.

        Raises:
            EnvironmentFault: The registry is down or denies access.
        """
        ...

    def version(self, model: str, number: str) -> Registered:
        """One version.

        Raises:
            BadInput: There is no such version, or Sluice did not register it.
            EnvironmentFault: The registry is down or denies access.
        """
        ...


def open_registry() -> Registry:
    """The registry that MLFLOW_TRACKING_URI names, else the database in the home; nothing is asked yet.

    Raises:
        BadInput: The address is of no server and no database that can be followed.
    """
    check_mlflow_settings()
    address = tracking_uri()
    if is_web_address(address):
        return RestRegistry(address)
    if address.startswith(_SQLITE) and "?" not in address:
        return DatabaseRegistry(Path(address.removeprefix(_SQLITE)))
    raise BadInput(
        f"{URI}={shown(address)!r}: a server of models follows MLflow's server (https://host) or an SQLite file "
        "(sqlite:////folder/mlflow.db); name one of them, for example the MLflow server before that database"
    )


class RestRegistry:
    """MLflow's server.

    Args:
        address: Its address; a login in it is used where no variable holds one.
    """

    def __init__(self, address: str) -> None:
        import urllib3

        self._address, login = without_login(address.rstrip("/"))
        headers = {"Accept": "application/json"} | account_header(login)
        secure = {"ssl_context": tls_context()} if address.startswith("https:") else {}
        self._pool = urllib3.PoolManager(num_pools=1, headers=headers, timeout=_SECONDS, retries=False, **secure)

    def aliases(self, model: str) -> dict[str, str]:
        """See `Registry.aliases`."""
        body = self._asked("registered-models/get", {"name": model}, f"registered model {model!r}")
        return {str(each["alias"]): str(each["version"]) for each in body["registered_model"].get("aliases", ())}

    def all_aliases(self) -> dict[str, dict[str, str]]:
        """The same of every model, by its name; raises EnvironmentFault as `Registry.aliases`."""
        found: dict[str, dict[str, str]] = {}
        token = ""
        while True:
            query = {"max_results": "1000"} | ({"page_token": token} if token else {})
            body = self._asked("registered-models/search", query, "registered models")
            for each in body.get("registered_models", ()):
                found[str(each["name"])] = {str(a["alias"]): str(a["version"]) for a in each.get("aliases", ())}
            token = body.get("next_page_token", "")
            if not token:
                return found

    def version(self, model: str, number: str) -> Registered:
        """See `Registry.version`."""
        query = {"name": model, "version": number}
        body = self._asked("model-versions/get", query, f"version {model}/{number}")
        tags = {str(each["key"]): str(each.get("value", "")) for each in body["model_version"].get("tags", ())}
        created = int(body["model_version"].get("creation_timestamp", 0))
        return _ours(Registered(model, number, tags.get(DIGEST, ""), tags, created))

    def _asked(self, what: str, query: Mapping[str, str], named: str) -> Any:  # noqa: ANN401 - JSON
        import urllib3

        url, where = f"{self._address}/api/2.0/mlflow/{what}?{urlencode(query)}", f"MLflow at {shown(self._address)}"
        try:
            answer = self._pool.request("GET", url, redirect=False, preload_content=False)
            data = answer.read(_ANSWER_BYTES + 1)  # to its end, which gives the connection back for the next look
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise EnvironmentFault(f"{where} failed: {redacted(str(error))[:200]}") from None
        if answer.status in (401, 403):
            raise EnvironmentFault(f"{where} denies access; check the user and password")
        try:
            body = json.loads(data)  # one that was cut is no JSON
        except (ValueError, RecursionError):
            body = None
        if answer.status == 404 and isinstance(body, dict) and body.get("error_code") == "RESOURCE_DOES_NOT_EXIST":
            raise BadInput(f"{where} has no {named}")
        if answer.status != 200 or not isinstance(body, dict):
            raise EnvironmentFault(f"{where} failed: it answered {answer.status}")
        return body


class DatabaseRegistry:
    """MLflow's database in an SQLite file, read only.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def aliases(self, model: str) -> dict[str, str]:
        """See `Registry.aliases`."""
        with self._opened() as connection:
            self._known(connection, "registered_models", "name = ?", (model,), f"registered model {model!r}")
            sql = f"SELECT alias, version FROM registered_model_aliases WHERE name = ?{_own(connection)}"  # noqa: S608 - our own text
            return {str(alias): str(number) for alias, number in connection.execute(sql, (model,))}

    def all_aliases(self) -> dict[str, dict[str, str]]:
        """See `RestRegistry.all_aliases`."""
        found: dict[str, dict[str, str]] = {}
        with self._opened() as connection:
            own = _own(connection).removeprefix(" AND ")
            sql = f"SELECT name, alias, version FROM registered_model_aliases{own and f' WHERE {own}'}"  # noqa: S608 - our own text
            for model, alias, number in connection.execute(sql):
                found.setdefault(str(model), {})[str(alias)] = str(number)
        return found

    def version(self, model: str, number: str) -> Registered:
        """See `Registry.version`."""
        with self._opened() as connection:
            chosen = (model, int(number) if number.isdecimal() else -1)
            self._known(connection, "model_versions", "name = ? AND version = ?", chosen, f"version {model}/{number}")
            sql = f"SELECT key, value FROM model_version_tags WHERE name = ? AND version = ?{_own(connection)}"  # noqa: S608 - our own text
            tags = {str(key): str(value) for key, value in connection.execute(sql, chosen)}
        return _ours(Registered(model, number, tags.get(DIGEST, ""), tags))

    def _known(
        self, connection: sqlite3.Connection, table: str, where: str, values: tuple[str | int, ...], named: str
    ) -> None:
        sql = f"SELECT 1 FROM {table} WHERE {where}{_own(connection)}"  # noqa: S608 - names of our own
        if connection.execute(sql, values).fetchone() is None:
            raise BadInput(f"MLflow's database {self._path} has no {named}")

    @contextlib.contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        uri = f"{self._path.absolute().as_uri()}?mode=ro"
        try:
            with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS)) as connection:
                yield connection
        except sqlite3.Error as error:
            raise EnvironmentFault(f"MLflow's database {self._path} cannot be read ({error})") from None


def _own(connection: sqlite3.Connection) -> str:
    """The condition on the workspace, which databases of earlier releases of MLflow do not have."""
    found = connection.execute("SELECT 1 FROM pragma_table_info('registered_model_aliases') WHERE name = 'workspace'")
    return f" AND workspace = '{_WORKSPACE}'" if found.fetchone() else ""


def _ours(version: Registered) -> Registered:
    if not version.digest:
        raise BadInput(f"{version.name} is no version that Sluice registered: it has no tag {DIGEST}")
    return version
