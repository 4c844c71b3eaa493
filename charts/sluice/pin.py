"""Pin images by digest: `python charts/sluice/pin.py your-own.yaml > digests.yaml`, then `helm ... -f digests.yaml`.

For each image of the chart, as values.yaml and the given files name it, the registry is asked for its tag's digest;
the result is a values file of digests alone. A tag can be moved to another image, a digest cannot. Images with a digest
keep it; those that no registry answers for, such as Sluice's own before they are pushed, are named on standard error,
and the exit code is 1.

Source: OCI distribution specification 1.1, "Pulling manifests" and the header Docker-Content-Digest; the token protocol
of Docker's registry, which the others speak too.
"""

import json
import re
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parent
ACCEPT = ", ".join(
    f"application/vnd.{kind}+json"
    for kind in (
        "oci.image.index.v1",
        "oci.image.manifest.v1",
        "docker.distribution.manifest.list.v2",
        "docker.distribution.manifest.v2",
    )
)
DOCKER_HUB = "registry-1.docker.io"
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
SECONDS = 20
UNAUTHORIZED = 401


def merged(base: Any, over: Any) -> Any:  # noqa: ANN401 - whatever YAML holds
    """Values as Helm lays one file over another."""
    if isinstance(base, dict) and isinstance(over, dict):
        return {key: merged(base.get(key), over.get(key, base.get(key))) for key in base | over}
    return base if over is None else over


def images(values: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], dict[str, str]]]:  # noqa: ANN401
    """Every image of the values, with its place."""
    if isinstance(values, dict):
        if {"repository", "tag", "digest"} <= values.keys():
            yield path, values
        else:
            for key, inner in values.items():
                yield from images(inner, (*path, key))


def digest(repository: str, tag: str, *, scheme: str = "https") -> str:
    """The digest that a tag has at its registry now.

    Raises:
        OSError: The registry does not answer, or does not have it.
    """
    host, _, name = repository.partition("/")
    if "." not in host and ":" not in host:
        raise OSError(f"{repository} names no registry; set images.registry")
    host = DOCKER_HUB if host == "docker.io" else host
    url = f"{scheme}://{host}/v2/{name}/manifests/{urllib.parse.quote(tag)}"
    try:
        found = _head(url, "")
    except urllib.error.HTTPError as error:
        if error.code != UNAUTHORIZED:
            raise
        found = _head(url, _token(error.headers.get("WWW-Authenticate", "")))
    if not DIGEST.fullmatch(found):
        raise OSError(f"{host} told no digest of {name}:{tag}")
    return found


def _head(url: str, token: str) -> str:
    headers = {"Accept": ACCEPT} | ({"Authorization": f"Bearer {token}"} if token else {})
    request = urllib.request.Request(url, headers=headers, method="HEAD")  # noqa: S310 - https, or a test's own server
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310
        return str(answer.headers.get("Docker-Content-Digest", ""))


def _token(challenge: str) -> str:
    """A token for anybody, from where the registry's challenge says."""
    asked = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
    if "realm" not in asked:
        raise OSError("the registry wants a login, and says not where")
    query = urllib.parse.urlencode({key: asked[key] for key in ("service", "scope") if key in asked})
    with urllib.request.urlopen(f"{asked['realm']}?{query}", timeout=SECONDS) as answer:  # noqa: S310
        told = json.load(answer)
    return str(told.get("token") or told.get("access_token") or "")


def pin(values: dict[str, Any], default_tag: str, *, scheme: str = "https") -> tuple[dict[str, Any], list[str]]:
    """Digests of all images as a values file, and a line for each that has none."""
    pinned: dict[str, Any] = {}
    missing = []
    common = values["images"]
    for path, image in images(values):
        if not image["repository"]:  # an image that the values leave out
            continue
        repository = "/".join(filter(None, (common["registry"].rstrip("/"), image["repository"])))
        tag = image["tag"] or common["tag"] or default_tag
        try:
            found = image["digest"] or digest(repository, tag, scheme=scheme)
        except OSError as error:
            missing.append(f"{'.'.join(path)}: {repository}:{tag}: {error}")
            continue
        place = pinned
        for key in path:
            place = place.setdefault(key, {})
        place["digest"] = found
    return pinned, missing


def main(files: list[str]) -> int:
    """Print the values file; 0 when every image has a digest."""
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    for file in files:
        values = merged(values, yaml.safe_load(Path(file).read_text(encoding="utf-8")) or {})
    version = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))["appVersion"]
    pinned, missing = pin(values, str(version))
    sys.stdout.write(yaml.safe_dump(pinned, sort_keys=True))
    for line in missing:
        sys.stderr.write(f"no digest of {line}\n")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
