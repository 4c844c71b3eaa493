"""The page of a past that was lived through, out of what was kept of it."""

from pathlib import Path

from sluice.core.files import written
from sluice.core.home import make_home
from sluice.monitoring.log_states import read_state
from sluice.operator.on_laptop.laptop_world import LaptopWorld
from sluice.operator.on_laptop.rehearsal import Lived
from sluice.operator.state import Decision
from sluice.registry.versions import versions
from sluice.reporting.year_page import Year, YearDecision, YearReign, YearWindow, year_page, year_summary

PAGE = "year.html"
_LIVED = (
    "Data arrived, rows were asked for and labels came when they did in the past; the clock stood still in between. "
    "Every decision was made as on a cluster, every run was real and went through its gate, and versions and their "
    "promotions stand in the registry."
)
_ANSWERED = (
    "Each row was answered by the version that was champion at the row's moment, from what was known then: the gate of "
    "the step prepare proves every feature known at that moment. The monitor held each window to the rows that the "
    "version was judged by, and judged it again when its labels had come."
)


def lived_year(lived: Lived, world: LaptopWorld) -> Year:
    """What the page tells."""
    spec, project = world.operated.training, world.operated.project.project
    windows, metric = _windows(world)
    back = [each for each in lived.decisions.values() if each.outcome == "roll back"]
    return Year(
        model=world.model,
        question=project.question or "",
        metric=metric,
        arrived=tuple((each.at, each.words) for each in lived.arrived),
        decisions=tuple(_decision(lived.decisions[number]) for number in sorted(lived.decisions)),
        reigns=tuple(YearReign(each.version, each.since, each.until, each.rows) for each in lived.served),
        windows=windows,
        rolled_back=tuple(dict.fromkeys(str(each.inputs.get("champion", "")) for each in back)),
        label_delay=spec.label_delay,
        currency=spec.cost.currency,
        per_run=spec.cost.per_run,
        per_unit_loss=spec.cost.per_unit_loss,
        runs=len(world.files.runs()),
        notes=(_LIVED, _ANSWERED),
    )


def write_page(lived: Lived, world: LaptopWorld, target: Path | None = None) -> tuple[Path, str]:
    """Write the page.

    Args:
        lived: What happened.
        world: Where.
        target: Where to; by default `year.html` in SLUICE_HOME.

    Returns:
        Where it is, and what happened in a sentence.
    """
    year, path = lived_year(lived, world), target or make_home() / PAGE
    with written(path) as out:
        out.write(year_page(year).encode())
    return path, year_summary(year)


def _windows(world: LaptopWorld) -> tuple[tuple[YearWindow, ...], str]:
    """All windows of all versions by time, and the metric that they were watched by."""
    assert world.operated.rehearsal is not None, "a past was lived"  # noqa: S101
    found, metric = [], "log_loss"
    for version in versions(world.model):
        state = read_state(world.store, world.model, version.version, world.operated.rehearsal.window)
        if state is None:
            continue
        metric = state.settings.metric
        found += [
            YearWindow(version.version, each.begin, each.end, world.reader.record(each.datasets[-1]))
            for each in state.windows
            if each.datasets
        ]
    return tuple(sorted(found, key=lambda each: (each.begin, each.version))), metric


def _decision(found: Decision) -> YearDecision:
    inputs = tuple((name, _short(value)) for name, value in found.inputs.items())
    cost = ""
    if found.cost:
        cost = f"run {found.cost.run:.2f}, stale {found.cost.stale:.2f} {found.cost.currency}"
    return YearDecision(
        found.at,
        found.last,
        found.count,
        found.outcome,
        found.rule,
        found.words,
        found.triggers,
        inputs,
        found.by,
        cost,
    )


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 24 else f"{text[:12]}…"
