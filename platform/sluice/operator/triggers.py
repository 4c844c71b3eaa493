"""What the triggers of a ContinuousTraining say of the evidence."""

from dataclasses import dataclass, field
from datetime import datetime

from sluice.operator.draft import Draft
from sluice.operator.evidence import LakeSeen, VersionSeen
from sluice.operator.noticing import speaks
from sluice.operator.parts import span
from sluice.operator.specs import NewData, Trigger, Upstream
from sluice.operator.state import MOST_PARTITIONS, Learned, Pending
from sluice.operator.windows import Finding, drifted_windows, worse_windows


@dataclass(frozen=True)
class Spoken:
    """A trigger that speaks.

    Attributes:
        trigger: Its name.
        identity: Of what it speaks of; see `keys.intent_key`.
        words: What it says, in a clause.
        fires: Whether it may start a run; else it is evidence only.
        window: The window that it rests on; empty for none.
        pending: The reason that waited; None for what is seen by looking.
    """

    trigger: str
    identity: str
    words: str
    fires: bool
    window: str = ""
    pending: Pending | None = None


@dataclass
class Heard:
    """What all triggers say: those that speak, and why others do not yet."""

    spoken: list[Spoken] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)
    labels_until: datetime | None = None


def listen(draft: Draft) -> Heard:
    """Ask every trigger."""
    heard = Heard()
    for trigger in draft.spec.triggers:
        if trigger.data:
            _data(draft, trigger, trigger.data, heard)
        elif trigger.drift or trigger.performance:
            _windows(draft, trigger, heard)
        elif trigger.model:
            _upstream(draft, trigger, trigger.model, heard)
        else:
            mine = (each for each in draft.state.pending if each.trigger == trigger.name and not each.attempt)
            first = next(mine, None)  # `missed: all` has several, each for a run of its own
            if first:
                words, fires = speaks(trigger, first), not trigger.evidence_only
                heard.spoken.append(Spoken(trigger.name, first.identity, words, fires, pending=first))
    return heard


def follow_lakes(draft: Draft) -> None:
    """Remember since when each lake is another than what was learned from; take a champion's lake as known."""
    learned = dict(draft.state.learned)
    for lake in draft.evidence.lakes:
        held = learned.get(lake.name)
        if held is None:
            if draft.evidence.champion is not None and not draft.state.intents:
                learned[lake.name] = learns(lake)  # the champion was there before this resource: what it knows is taken
        elif (lake.dataset == held.dataset) != (held.behind is None):
            behind = None if lake.dataset == held.dataset else lake.arrived
            learned[lake.name] = held.model_copy(update={"behind": behind})
        elif lake.dataset == held.dataset and held.rows is None and lake.rows is not None:
            learned[lake.name] = held.model_copy(update={"rows": lake.rows})  # a run has counted what it read
    if learned != draft.state.learned:
        draft.change(learned=learned)


def learns(lake: LakeSeen) -> Learned:
    """What a run that begins now learns from of a lake."""
    partitions = tuple(sorted(lake.partitions)[-MOST_PARTITIONS:])
    return Learned(dataset=lake.dataset, rows=lake.rows, labelled=lake.labelled, partitions=partitions)


def base_of(draft: Draft, lake: str) -> Learned | None:
    """What new data are counted from: what a run on its way learns from, else what the last successful one did."""
    open_ones = [each.learns[lake] for each in draft.state.open if lake in each.learns]
    return open_ones[-1] if open_ones else draft.state.learned.get(lake)


def _data(draft: Draft, trigger: Trigger, rule: NewData, heard: Heard) -> None:
    lake = draft.evidence.lake(rule.lake)
    if lake is None:
        heard.silent.append(f"{trigger.name}: the lake {rule.lake or 'of the project'} is not known")
        return
    base = base_of(draft, lake.name)
    if base is not None and base.dataset == lake.dataset:
        heard.silent.append(f"{trigger.name}: the lake is what the last run learned from")
        return
    ripe = _ripe(draft, lake, base)
    if ripe is not None and ripe > draft.now:
        heard.silent.append(f"{trigger.name}: labels of what is new are known from {ripe:%Y-%m-%d %H:%M} UTC on")
        heard.labels_until = min(heard.labels_until or ripe, ripe)
        draft.wake(ripe)
        return
    words = _enough(draft, rule, lake, base)
    if words:
        heard.spoken.append(Spoken(trigger.name, lake.dataset, words, not trigger.evidence_only))
    else:
        uncounted = rule.rows and base is not None and new_rows(lake, base) is None
        why = lake.uncounted or "what was learned from was not counted"
        end = f"and its new rows are not known: {why}" if uncounted else "fewer than asked for"
        heard.silent.append(f"{trigger.name}: {_new_rows_words(lake, base)}, {end}")


def _ripe(draft: Draft, lake: LakeSeen, base: Learned | None) -> datetime | None:
    """From when on the labels of what is new are known; None where they are counted, or nothing was learned yet."""
    if lake.labelled is not None or base is None:
        return None
    return (base.behind or lake.arrived) + span(draft.spec.label_delay)


def _enough(draft: Draft, rule: NewData, lake: LakeSeen, base: Learned | None) -> str:
    """Why what is new is enough to train on; empty where it is not."""
    if base is None:
        return f"nothing was learned from dataset {lake.dataset[:12]} yet"
    new = new_rows(lake, base)
    if not rule.rows and not rule.age and not rule.partition:
        # Rows without a label teach nothing: where they are counted, some have to be new.
        return "" if new == 0 and lake.labelled is not None else _new_rows_words(lake, base)
    if rule.rows and new is not None and new >= rule.rows:
        return _new_rows_words(lake, base)
    partitions = sorted(set(lake.partitions) - set(base.partitions)) if rule.partition else []
    if partitions:
        return f"{rule.partition} {', '.join(partitions[:3])}{' …' if len(partitions) > 3 else ''} is new"
    if rule.age:
        due = (base.behind or lake.arrived) + span(rule.age)
        if due <= draft.now:
            return f"{_new_rows_words(lake, base)}, the first of them since {base.behind or lake.arrived:%Y-%m-%d}"
        draft.wake(due)
    return ""


def new_rows(lake: LakeSeen, base: Learned) -> int | None:
    """Rows with a known label that are new; None where they are not counted."""
    if lake.labelled is not None and base.labelled is not None:
        return lake.labelled - base.labelled
    if lake.rows is not None and base.rows is not None:
        return lake.rows - base.rows
    return None


def _new_rows_words(lake: LakeSeen, base: Learned | None) -> str:
    new = new_rows(lake, base) if base else None
    what = "rows with a label" if lake.labelled is not None else "rows"
    return f"the lake has other data ({lake.dataset[:12]})" if new is None else f"the lake has {new:,} {what} more"


def _windows(draft: Draft, trigger: Trigger, heard: Heard) -> None:
    champion, found = draft.evidence.champion, None
    if champion is None:
        heard.silent.append(f"{trigger.name}: there is no champion")
        return
    windows, acted = draft.evidence.windows, draft.state.windows
    if trigger.drift:
        found = drifted_windows(windows, champion.version, trigger.drift, acted)
    elif trigger.performance:
        found = worse_windows(windows, champion.version, trigger.performance, draft, acted)
    _hear(trigger, found, heard)


def _hear(trigger: Trigger, found: Finding | None, heard: Heard) -> None:
    if found is None:
        heard.silent.append(f"{trigger.name}: no window says so")
        return
    fires = not trigger.evidence_only
    heard.spoken.append(Spoken(trigger.name, found.identity, found.words, fires, window=found.identity))


def _upstream(draft: Draft, trigger: Trigger, rule: Upstream, heard: Heard) -> None:
    found = upstream_of(draft.evidence.upstream, rule)
    if found is None:
        heard.silent.append(f"{trigger.name}: {rule.name}@{rule.alias} is not known")
        return
    held = draft.state.upstream.get(trigger.name)
    if held is None:
        draft.change(upstream=draft.state.upstream | {trigger.name: found.digest})
    elif held != found.digest:
        words = f"{rule.name}@{rule.alias} is version {found.version} now"
        heard.spoken.append(Spoken(trigger.name, found.digest, words, not trigger.evidence_only))
        return
    heard.silent.append(f"{trigger.name}: {rule.name}@{rule.alias} is version {found.version} still")


def upstream_of(versions: tuple[VersionSeen, ...], rule: Upstream) -> VersionSeen | None:
    """The version that an upstream trigger follows."""
    return next((each for each in versions if (each.model, each.alias) == (rule.name, rule.alias)), None)
