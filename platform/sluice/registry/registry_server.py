"""MLflow's registry on a server, asked over its REST API: MLflow's own client takes seconds and 250 MB to import.

Names and meaning of the methods are those of `mlflow.MlflowClient`, whose answers they give where we read them.

Source: MLflow's REST API 2.0, `registered-models`, `model-versions` and `mlflow-artifacts`.
"""

import json
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from sluice.core.addresses import Login, without_login
from sluice.core.authorities import tls_context
from sluice.core.settings import settings

_AGAIN = (408, 429, 500, 502, 503, 504)  # those of MLflow's client
_CODES = {401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "ENDPOINT_NOT_FOUND"}
_ARTIFACTS = "mlflow-artifacts"
_PAGE = "200"
_CHUNK_BYTES = 1 << 20


class RegistryRefusal(Exception):
    """What the server says, or that it does not answer.

    Attributes:
        error_code: MLflow's own word for it.
    """

    def __init__(self, said: str, error_code: str) -> None:
        super().__init__(said)
        self.error_code = error_code


@dataclass(frozen=True)
class RegisteredModel:
    """A registered model: its aliases (version by name) and its own tags."""

    name: str
    aliases: dict[str, str]
    tags: dict[str, str]


@dataclass(frozen=True)
class ModelVersion:
    """A version of one; `creation_timestamp` is in milliseconds since 1970."""

    name: str
    version: str
    tags: dict[str, str]
    run_id: str
    creation_timestamp: int


class RegistryServer:
    """One server, with the account, the patience and the authorities that MLflow's variables name.

    Args:
        address: Its address; a login in it is used where no variable holds one.

    Every method raises RegistryRefusal.
    """

    def __init__(self, address: str) -> None:
        import urllib3

        tracking = settings().tracking
        self._address, login = without_login(address.rstrip("/"))
        secure = {"ssl_context": tls_context()} if address.startswith("https:") else {}
        patience = urllib3.Retry(
            tracking.retries,
            backoff_factor=tracking.backoff,
            status_forcelist=_AGAIN,
            allowed_methods=None,
            raise_on_status=False,
        )
        self._pool = urllib3.PoolManager(
            num_pools=1,
            headers=account_header(login) | {"Content-Type": "application/json"},
            timeout=tracking.timeout,
            retries=patience,
            **secure,
        )

    def get_registered_model(self, name: str) -> RegisteredModel:
        """One registered model."""
        return _model(self._asked("GET", "registered-models/get", {"name": name})["registered_model"])

    def search_registered_models(self) -> list[RegisteredModel]:
        """All registered models."""
        return [_model(each) for each in self._listed("registered-models/search", {}, "registered_models")]

    def get_model_version(self, name: str, version: str) -> ModelVersion:
        """One version."""
        return _version(self._asked("GET", "model-versions/get", {"name": name, "version": version})["model_version"])

    def search_model_versions(self, filter_string: str) -> list[ModelVersion]:
        """The versions that a filter of MLflow's selects."""
        found = self._listed("model-versions/search", {"filter": filter_string}, "model_versions")
        return [_version(each) for each in found]

    def set_registered_model_alias(self, name: str, alias: str, version: str) -> None:
        """Point an alias to a version."""
        self._asked("POST", "registered-models/alias", {"name": name, "alias": alias, "version": version})

    def delete_registered_model_alias(self, name: str, alias: str) -> None:
        """Take an alias away."""
        self._asked("DELETE", "registered-models/alias", {"name": name, "alias": alias})

    def set_registered_model_tag(self, name: str, key: str, value: str) -> None:
        """Set a tag of the registered model as a whole."""
        self._asked("POST", "registered-models/set-tag", {"name": name, "key": key, "value": value})

    def delete_registered_model_tag(self, name: str, key: str) -> None:
        """Take such a tag away."""
        self._asked("DELETE", "registered-models/delete-tag", {"name": name, "key": key})

    def delete_model_version(self, name: str, version: str) -> None:
        """Remove a version."""
        self._asked("DELETE", "model-versions/delete", {"name": name, "version": version})

    def download(self, name: str, version: str, folder: Path) -> bool:
        """Write the files of a version into a folder.

        Returns:
            False, and nothing is written, where the server does not hold them.
        """
        asked = {"name": name, "version": version}
        uri = str(self._asked("GET", "model-versions/get-download-uri", asked)["artifact_uri"])
        scheme, _, place = uri.partition(":")
        if scheme != _ARTIFACTS or place.startswith("//"):  # its own store, or that of another server
            return False
        root = PurePosixPath(place.lstrip("/"))
        for path in self._files(root):
            inner = path.relative_to(root)
            if ".." in inner.parts:
                raise RegistryRefusal(f"{uri} has a file {str(inner)!r}", "INVALID_PARAMETER_VALUE")
            target = folder / inner
            target.parent.mkdir(parents=True, exist_ok=True)
            self._fetch(path, target)
        return True

    def _files(self, folder: PurePosixPath) -> Iterator[PurePosixPath]:
        url = f"{self._address}/api/2.0/{_ARTIFACTS}/artifacts?{urllib.parse.urlencode({'path': str(folder)})}"
        for each in self._answered("GET", url).get("files", ()):
            path = folder / PurePosixPath(each["path"]).name
            if each.get("is_dir"):
                yield from self._files(path)
            else:
                yield path

    def _fetch(self, path: PurePosixPath, target: Path) -> None:
        url = f"{self._address}/api/2.0/{_ARTIFACTS}/artifacts/{urllib.parse.quote(str(path))}"
        answer = self._sent("GET", url, whole=False)
        try:
            with _answering():
                if answer.status != 200:
                    raise _refusal(answer.status, answer.data)
                with target.open("wb") as file:
                    for chunk in answer.stream(_CHUNK_BYTES):
                        file.write(chunk)
        finally:
            answer.release_conn()

    def _listed(self, what: str, query: Mapping[str, str], key: str) -> Iterator[dict[str, Any]]:
        token = ""
        while True:
            page = self._asked("GET", what, {**query, "max_results": _PAGE} | ({"page_token": token} if token else {}))
            yield from page.get(key, ())
            token = page.get("next_page_token", "")
            if not token:
                return

    def _asked(self, method: str, what: str, fields: Mapping[str, str]) -> dict[str, Any]:
        url = f"{self._address}/api/2.0/mlflow/{what}"
        if method == "GET":
            return self._answered(method, f"{url}?{urllib.parse.urlencode(fields)}")
        return self._answered(method, url, json.dumps(fields).encode())

    def _answered(self, method: str, url: str, body: bytes | None = None) -> dict[str, Any]:
        answer = self._sent(method, url, body)
        if answer.status != 200:
            raise _refusal(answer.status, answer.data)
        return _json(answer.data) or {}

    def _sent(self, method: str, url: str, body: bytes | None = None, *, whole: bool = True) -> Any:  # noqa: ANN401 - urllib3's answer
        with _answering():
            return self._pool.request(method, url, body=body, redirect=False, preload_content=whole)


@contextmanager
def _answering() -> Iterator[None]:
    """Turn what urllib3 says of a server that does not answer, or not to the end, into a refusal."""
    import urllib3

    try:
        yield
    except urllib3.exceptions.HTTPError as error:
        raise RegistryRefusal(str(error), "TEMPORARILY_UNAVAILABLE") from error


def account_header(login: Login | tuple[str, str] | None) -> dict[str, str]:
    """The header that says who asks, by the variables that MLflow's own client reads, in its order."""
    import urllib3

    tracking = settings().tracking
    user, password = tracking.username, tracking.password.reveal()
    if user and password:
        return dict(urllib3.make_headers(basic_auth=f"{user}:{password}"))
    if token := tracking.token.reveal():
        return {"Authorization": f"Bearer {token}"}
    return dict(urllib3.make_headers(basic_auth=":".join(login))) if login else {}


def _refusal(status: int, data: bytes) -> RegistryRefusal:
    told = _json(data) or {}
    said = str(told.get("message") or f"it answered {status}").split("\n", 1)[0]
    return RegistryRefusal(said, str(told.get("error_code") or _CODES.get(status, "INTERNAL_ERROR")))


def _json(data: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _tags(entries: Any) -> dict[str, str]:  # noqa: ANN401 - JSON
    return {str(each["key"]): str(each.get("value", "")) for each in entries or ()}


def _model(entry: Mapping[str, Any]) -> RegisteredModel:
    aliases = {str(each["alias"]): str(each["version"]) for each in entry.get("aliases") or ()}
    return RegisteredModel(str(entry["name"]), aliases, _tags(entry.get("tags")))


def _version(entry: Mapping[str, Any]) -> ModelVersion:
    return ModelVersion(
        str(entry["name"]),
        str(entry["version"]),
        _tags(entry.get("tags")),
        str(entry.get("run_id") or ""),
        int(entry.get("creation_timestamp", 0)),
    )
