"""A throw-away package that extends Sluice, where Python finds installed ones."""

import importlib
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from sluice.core.extensions import look_anew


@contextmanager
def installed(
    site: Path, modules: Mapping[str, str], entries: Mapping[str, Mapping[str, str]], version: str = "1.5"
) -> Iterator[None]:
    """Install the package acme for as long as the block lasts.

    Args:
        site: A folder for it.
        modules: The source of each module, by its name.
        entries: By group (`prepare`) and name, what each entry point means: `acme_rows:rows`.
        version: Of the package.
    """
    info = site / f"acme-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: acme\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(entry_points(entries))
    for name, source in modules.items():
        (site / f"{name}.py").write_text(source)
    sys.path.insert(0, str(site))
    importlib.invalidate_caches()
    look_anew()
    try:
        yield
    finally:
        sys.path.remove(str(site))
        for name in modules:
            sys.modules.pop(name, None)
        shutil.rmtree(site)
        look_anew()


def entry_points(entries: Mapping[str, Mapping[str, str]]) -> str:
    """What a package's entry_points.txt says."""
    lines = (
        "\n".join([f"[sluice.{group}]", *(f"{name} = {target}" for name, target in named.items())])
        for group, named in entries.items()
    )
    return "\n".join(lines) + "\n"
