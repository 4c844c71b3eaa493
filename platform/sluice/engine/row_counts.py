"""Rows at a step's edges: what came in went out or was left out, with reasons; else nothing is published."""

from collections.abc import Mapping

from sluice.core.errors import SluiceError


def reconcile(what: str, rows_in: int, rows_out: Mapping[str, int], left_out: Mapping[str, int] | None = None) -> None:
    """See that no row was lost or made on the way.

    Args:
        what: Names the step or the table, for the message.
        rows_in: Rows that were read.
        rows_out: Rows that are handed on, by table.
        left_out: Rows that are not, by reason.

    Raises:
        SluiceError: They do not add up: a defect of ours, or of an engine.
    """
    out, left = sum(rows_out.values()), sum((left_out or {}).values())
    if rows_in != out + left:
        parts = ", ".join(f"{name} {rows:,}" for name, rows in rows_out.items())
        reasons = ", ".join(f"{reason} {rows:,}" for reason, rows in (left_out or {}).items()) or "none"
        raise SluiceError(
            f"{what}: {rows_in:,} rows came in, {out:,} go out ({parts}) and {left:,} are left out ({reasons}); "
            f"{abs(rows_in - out - left):,} are not accounted for, so nothing was published: please report this"
        )
