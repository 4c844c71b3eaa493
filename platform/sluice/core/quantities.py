"""Quantities as Kubernetes writes them: cores (`500m`, `2`) and bytes (`512Mi`, `4Gi`).

Source: Kubernetes, "Resource Management for Pods and Containers"; the format is that of
k8s.io/apimachinery/pkg/api/resource.
"""

import re
from decimal import Decimal

MIB = 2**20
MOST_CORES = 10_000
_SUFFIXES = {"n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "": Decimal(1)}
_SUFFIXES |= {letter: Decimal(1000**power) for power, letter in enumerate("kMGTPE", 1)}
_SUFFIXES |= {f"{letter}i": Decimal(1024**power) for power, letter in enumerate("KMGTPE", 1)}
_QUANTITY = re.compile(
    r"([0-9]{1,30}(?:\.[0-9]{0,30})?|\.[0-9]{1,30})(?:[eE]([+-]?[0-9]{1,2})|([a-zA-Z]{0,2}))", re.ASCII
)


def amount(quantity: str) -> Decimal:
    """A quantity as Kubernetes counts: cores, or bytes.

    Raises:
        ValueError: It is no quantity.
    """
    found = _QUANTITY.fullmatch(quantity)
    if found and (found[2] or (found[3] or "") in _SUFFIXES):
        return Decimal(found[1]) * (Decimal(10) ** int(found[2]) if found[2] else _SUFFIXES[found[3] or ""])
    gigabytes = quantity[:-1] if quantity.endswith("B") else ""
    hint = f"did you mean {gigabytes}i?" if gigabytes[-1:] in tuple("KMGT") else "write 500m, 2, 512Mi or 4Gi"
    raise ValueError(f"{quantity[:40]!r} is no quantity of Kubernetes: {hint}")


def check_cores(quantity: str) -> str:
    """A number of cores that a step can be given, as it was written.

    Raises:
        ValueError: It is no quantity, or no plausible number of cores.
    """
    found = amount(quantity)
    if found > MOST_CORES:
        raise ValueError(f"{quantity} are {found:,} cores: write 500m or 2; did you mean memory?")
    if found < Decimal("0.001"):
        raise ValueError(f"{quantity} is less than a thousandth of a core")
    return quantity


def check_bytes(quantity: str) -> str:
    """A number of bytes that a step can be given, as it was written.

    Raises:
        ValueError: It is no quantity, or less than a step could start with.
    """
    if amount(quantity) < MIB:
        digits = "".join(letter for letter in quantity if letter.isdigit() or letter == ".")
        raise ValueError(f"{quantity} is less than 1Mi: did you mean {digits}Gi?")
    return quantity
