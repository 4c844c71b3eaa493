"""What the monitor's windows say of one version: whether it is worse than it was judged, whether anything moved."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sluice.operator.evidence import MetricSeen, WindowSeen
from sluice.operator.parts import span
from sluice.operator.specs import ContinuousTrainingSpec, Drift, Performance

SURELY = 1.645
"""Standard errors: a one-sided 95 % interval excludes that nothing changed (normal approximation)."""


class Moment(Protocol):
    """Who asks: what is asked for, and when."""

    @property
    def spec(self) -> ContinuousTrainingSpec:
        """The specification."""

    @property
    def now(self) -> datetime:
        """The moment."""


@dataclass(frozen=True)
class Finding:
    """What windows say: the last one's id, and a sentence."""

    identity: str
    words: str


def judged(window: WindowSeen, moment: Moment) -> bool:
    """Whether the labels of a window are there as far as they will come."""
    return window.settled or (
        moment.now >= window.end + span(moment.spec.label_delay) and any(m.by == "labels" for m in window.metrics)
    )


def metric_of(window: WindowSeen, wanted: str, by: str, moment: Moment, *, few: bool = False) -> MetricSeen | None:
    """A window's metric; labels that have come go before an estimate. `few`: though rows are few."""
    found = [each for each in window.metrics if (not wanted or each.metric == wanted) and (few or each.enough)]
    labels = next((each for each in found if each.by == "labels"), None) if judged(window, moment) else None
    estimated = next((each for each in found if each.by == "estimated"), None)
    if by == "labels":
        return labels
    return estimated if by == "estimated" else labels or estimated


def worse_windows(
    windows: Sequence[WindowSeen], version: str, rule: Performance, moment: Moment, acted: Sequence[str] = ()
) -> Finding | None:
    """Whether so many windows one after the other, the newest that tell, were worse by so much, and surely so.

    Args:
        windows: Oldest first.
        version: The version that they have to be of.
        rule: What is asked.
        moment: Who asks.
        acted: Ids of windows that were acted on: they begin no new row.
    """

    def worse(window: WindowSeen) -> str:
        metric = metric_of(window, rule.metric, rule.by, moment)
        if metric is None or metric.worse < rule.worse or metric.worse < SURELY * metric.noise:
            return ""
        return (
            f"{metric.metric} {'by labels' if metric.by == 'labels' else 'estimated without labels'} was "
            f"{metric.value:.4g} [{metric.low:.4g}, {metric.high:.4g}] in the window to {window.end:%Y-%m-%d %H:%M}, "
            f"worse by {metric.worse:.4g} than the {metric.reference:.4g} that it was judged by"
        )

    telling = [each for each in windows if metric_of(each, rule.metric, rule.by, moment) is not None]
    return _in_a_row(telling, version, rule.windows, worse, acted)


def drifted_windows(windows: Sequence[WindowSeen], version: str, rule: Drift, acted: Sequence[str]) -> Finding | None:
    """Whether so many windows one after the other had an alarm about what is asked for; arguments as above."""

    def moved(window: WindowSeen) -> str:
        kinds = [kind for kind in ("inputs", "outputs") if rule.of in {kind, "any"} and getattr(window, kind) >= 1]
        what = {"inputs": "inputs", "outputs": "forecasts"}
        told = " and ".join(f"{what[kind]} ({getattr(window, kind):.2g} of the alarm's limit)" for kind in kinds)
        return f"{told} moved in the window to {window.end:%Y-%m-%d %H:%M}" if kinds else ""

    return _in_a_row(windows, version, rule.windows, moved, acted)


def _in_a_row(
    windows: Sequence[WindowSeen], version: str, number: int, told: Callable[[WindowSeen], str], acted: Sequence[str]
) -> Finding | None:
    last = [each for each in windows if each.version == version][-number:]
    words = [told(each) for each in last]
    if len(last) < number or not all(words) or last[-1].id in acted:
        return None
    return Finding(last[-1].id, words[-1] + (f", and in the {number - 1} before" if number > 1 else ""))
