"""Decisions in words: what `sluice why` says."""

from collections.abc import Iterator
from datetime import datetime

from pydantic import JsonValue

from sluice.core.durations import duration_words
from sluice.operator.state import CostEstimate, Decision, Freshness

_DAY = 86_400


def staleness_words(freshness: Freshness | None, now: datetime) -> str:
    """How old a model is: "this model is 9 days stale, because …"; empty where nothing is known."""
    if freshness is None or not freshness.words:
        return ""
    if freshness.stale_since is None:
        return f"this model is fresh: {freshness.words}"
    seconds = max((now - freshness.stale_since).total_seconds(), 0)
    days = int(seconds // _DAY)
    old = f"{days} day{'s' if days != 1 else ''}" if days else duration_words(seconds // 3600 * 3600 or 3600)
    return f"this model is {old} stale, because {freshness.words}"


def decision_lines(decision: Decision, *, whole: bool = False) -> Iterator[str]:
    """A decision in lines: when and what, why, and with `whole` what it was made from."""
    times = f", {decision.count} times, last {decision.last:%Y-%m-%d %H:%M}" if decision.count > 1 else ""
    by = f" by {decision.by}" if decision.by else ""
    yield f"{decision.at:%Y-%m-%d %H:%M} UTC  {decision.outcome}{by} ({decision.rule}){times}"
    yield f"    {decision.words}"
    if decision.cost:
        yield f"    {cost_words(decision.cost)}"
    if whole:
        if decision.triggers:
            yield f"    triggers: {', '.join(decision.triggers)}"
        for name, value in decision.inputs.items():
            yield f"    {name}: {_shown(value)}"
        if decision.key:
            yield f"    key: {decision.key}"


def cost_words(cost: CostEstimate) -> str:
    """What a decision was weighed by, in a clause."""
    return (
        f"a run costs {cost.run:.2f} {cost.currency}; the model as it is costs {cost.stale:.2f} over the horizon, a "
        f"run now would save {cost.saved:.2f} of it"
    )


def _shown(value: JsonValue) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_shown(each)}" for name, each in value.items())
    if isinstance(value, list):
        return "; ".join(_shown(each) for each in value)
    text = str(value)
    return f"{text[:12]}…" if len(text) == _SHA256 and text.isalnum() else text


_SHA256 = 64
