"""Push Sluice's images to a registry, sign each there, and attach its list of packages, signed: `make sign`.

The signatures are cosign's, by a key of yours (`cosign generate-key-pair`, or a KMS's address), over the digest of an
image, and stand beside it in the registry. Nothing goes to a transparency log: Sigstore's is public, and would tell
the world the names of your images. Source: cosign 3, `sign`, `attest` and `--signing-config`.
"""

import argparse
import json
import os
import subprocess
from pathlib import Path

from build import IMAGES, ROOT, ImageError, docker, program

NO_SERVICES = {"mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json"}
LISTS = ROOT / "build/sbom"


def push(local: str, reference: str) -> str:
    """Push an image under another name; return that name with the digest that the registry has it by.

    Raises:
        ImageError: There is no such image, or the registry refuses it.
    """
    docker("tag", local, reference)
    docker("push", "--quiet", reference)
    known = json.loads(docker("image", "inspect", "--format", "{{json .RepoDigests}}", reference))
    repository = reference.rpartition(":")[0]
    found = [digest for digest in known if digest.startswith(f"{repository}@sha256:")]
    if not found:
        raise ImageError(f"{reference}: pushed, but Docker knows no digest of it; push it again")
    return str(found[-1])


def cosign(*arguments: str) -> None:
    """Run cosign.

    Raises:
        ImageError: It is not there, or it fails.
    """
    try:
        done = subprocess.run(
            [os.environ.get("COSIGN", "cosign"), *arguments], check=False, capture_output=True, text=True
        )
    except FileNotFoundError:
        raise ImageError("cosign is not on the PATH: `make sign` builds it, with Go") from None
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        raise ImageError(f"cosign {arguments[0]} failed: {said[-1] if said else f'exit code {done.returncode}'}")


def sign(pinned: str, key: str, packages: Path, services: Path) -> None:
    """Sign an image, and its list of packages as an attestation.

    Args:
        pinned: The image by its digest.
        key: The private key: a file, or an address that cosign knows, of a KMS or a Kubernetes Secret.
        packages: The list, CycloneDX as JSON.
        services: A signing configuration of cosign's.

    Raises:
        ImageError: cosign fails.
    """
    common = ("--key", key, "--signing-config", str(services), "--yes")
    cosign("sign", *common, pinned)
    cosign("attest", *common, "--type", "cyclonedx", "--predicate", str(packages), pinned)


def main() -> None:
    """Push and sign all images; print each by its digest."""
    parser = argparse.ArgumentParser(description="Push Sluice's images, sign them and their lists of packages.")
    parser.add_argument("--registry", required=True, help="what the images' names stand behind: ghcr.io/acme/sluice")
    parser.add_argument("--tag", required=True, help="the images' tag: platform/images/build.py prints it")
    parser.add_argument("--prefix", default="sluice", help="what stands before the images' names here")
    parser.add_argument("--key", required=True, help="the private key's file, or its address in a KMS")
    parser.add_argument("--lists", type=Path, default=LISTS, help="folder of the lists, as sbom.py wrote them")
    chosen = parser.parse_args()
    for name in ("registry", "key"):
        if not getattr(chosen, name):
            parser.error(f"--{name} is empty: make sign REGISTRY=ghcr.io/acme/sluice KEY=cosign.key")
    lists = {name: chosen.lists / f"{name}.cdx.json" for name in IMAGES.values()}
    for path in lists.values():
        if not path.is_file():
            raise ImageError(f"{path} is not there: `make sbom` writes it")
    services = chosen.lists / "no-services.json"
    services.write_text(json.dumps(NO_SERVICES), encoding="utf-8")
    for name, packages in lists.items():
        pinned = push(f"{chosen.prefix}/{name}:{chosen.tag}", f"{chosen.registry}/{name}:{chosen.tag}")
        sign(pinned, chosen.key, packages, services)
        print(f"{pinned}: signed", flush=True)


if __name__ == "__main__":
    program(main)
