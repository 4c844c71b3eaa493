"""Where a model's loss grew: groups of rows, the one that added most first."""

from collections.abc import Iterator, Sequence

import numpy as np

from sluice.monitoring.column_counts import Cells
from sluice.monitoring.judged_rows import Flags, Floats, JudgedRows
from sluice.monitoring.loss_estimates import expected_losses
from sluice.monitoring.recalibration import recalibration
from sluice.monitoring.records import SliceRecord

_LEAST_ROWS = 50
_SHOWN = 5
_COLUMNS = 8
_EPSILON = 1e-12


def row_losses(reference: JudgedRows, current: JudgedRows, weights: Floats) -> tuple[Floats, Floats]:
    """Each row's loss, of the reference by its labels and of the present rows by theirs or as is to be expected.

    Log losses in nats, or absolute errors. Shapes (reference rows,) and (present rows,).
    """
    assert reference.labels is not None, "reference rows have labels"  # noqa: S101 - the caller chose the rows
    if reference.regression:
        before = abs(reference.labels - reference.values)
        now = expected_losses(reference, before, current)
        if current.labels is not None:
            now = np.where(current.labelled, abs(np.nan_to_num(current.labels) - current.values), now)
        return before, now
    curve = recalibration(reference.values, reference.labels, weights, binary=reference.binary)
    before = -np.log(np.clip(reference.values[np.arange(len(reference)), reference.labels.astype(int)], _EPSILON, 1))
    logs = -np.log(np.clip(current.values, _EPSILON, 1))
    now = (curve(current.values) * logs).sum(axis=1)
    if current.labels is not None:
        places = np.nan_to_num(current.labels).astype(int)
        now = np.where(current.labelled, logs[np.arange(len(current)), places], now)
    return before, now


def worst_slices(
    reference: JudgedRows,
    current: JudgedRows,
    losses: tuple[Floats, Floats],
    columns: Sequence[tuple[str, Cells]],
    importance: dict[str, float],
) -> list[SliceRecord]:
    """The groups that make the mean loss grow most: by their own loss, and by their share of the rows.

    Args:
        reference: Reference rows.
        current: Present rows.
        losses: Of both; see `row_losses`.
        columns: The features with their cells, in the order of the rows' columns.
        importance: By feature: the most important ones are looked at.
    """
    found, usual = [], float(losses[0].mean())
    order = sorted(range(len(columns)), key=lambda place: -importance.get(columns[place][0], 0.0))
    for place in order[:_COLUMNS]:
        name, cells = columns[place]
        pairs = zip(
            _groups(reference.features[:, place], cells), _groups(current.features[:, place], cells), strict=True
        )
        for (group, inside_before), (_, inside) in pairs:
            if inside.sum() < _LEAST_ROWS:
                continue
            now = float(losses[1][inside].mean())
            seen = inside_before.sum() >= _LEAST_ROWS
            before = float((losses[0][inside_before] if seen else losses[0]).mean())
            added = inside.mean() * (now - usual) - inside_before.mean() * (before - usual)
            found.append(
                SliceRecord(
                    column=name, group=group, rows=int(inside.sum()), loss=now, before=before, added=float(added)
                )
            )
    return sorted(found, key=lambda each: -each.added)[:_SHOWN]


def inside_slice(rows: JudgedRows, columns: Sequence[tuple[str, Cells]], chosen: SliceRecord) -> Flags:
    """Which rows are in a slice, shape (rows,)."""
    for place, (name, cells) in enumerate(columns):
        if name == chosen.column:
            return dict(_groups(rows.features[:, place], cells))[chosen.group]
    return np.zeros(len(rows), np.bool_)


def _groups(values: Floats, cells: Cells) -> Iterator[tuple[str, Flags]]:
    """A feature's groups with their rows: values, or thirds of the numbers of the reference."""
    yield "(missing)", np.isnan(values)
    if cells.kind == "category":
        for place, value in enumerate(cells.values):
            yield value, values == place
        yield "(any other)", values == len(cells.values)
        return
    edges = cells.edges
    low, high = (edges[len(edges) // 3], edges[2 * len(edges) // 3]) if edges else (cells.least, cells.greatest)
    yield f"to {low:.4g}", values <= low
    yield f"{low:.4g} to {high:.4g}", (values > low) & (values <= high)
    yield f"above {high:.4g}", values > high
