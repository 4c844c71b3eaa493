"""Who decides about a canary: reads what the servers counted, applies the rule, writes the record, carries it out.

One process does that, beside the servers: `sluice canary MODEL --watch`, in a terminal or as a deployment of its own.
Were there two, the records would still say one thing: of two that write at once one is first. A roll back needs no
more than its record, which every server follows; for a promotion the alias moves, too, by the promotions' own chain.
"""

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np

from sluice.core.errors import BadInput
from sluice.registry.appointing import promote_after_canary
from sluice.registry.promotions import promotions
from sluice.serving.aliases import CHALLENGER, CHAMPION
from sluice.serving.canary import LOSSES, Arms, Evidence, Plan, State, Verdict, decide
from sluice.serving.canary_counts import MEASURES, Cells, read_cells
from sluice.serving.losses import LossSource, loss_cells
from sluice.serving.registered import Registered, Registry
from sluice.serving.traffic_records import Named, News, TrafficRecord, TrafficRecords
from sluice.storage.stores import Store


def begin(
    records: TrafficRecords, champion: Registered, challenger: Registered, plan: Plan, reason: str, now: float
) -> TrafficRecord:
    """Put on record that a person begins a canary.

    Raises:
        BadInput: One is running, both are the same model, or the plan is none.
        EnvironmentFault: The store failed.
    """

    def made(last: TrafficRecord | None) -> News:
        check_begin(last, champion, challenger, plan)
        pair = Named(champion.version, champion.digest), Named(challenger.version, challenger.digest)
        state = State(champion.digest, challenger.digest)
        return News("begin", *pair, plan.steps[0], reason, asdict(plan), asdict(state))

    record = records.append(made, now)
    if record is None:  # pragma: no cover - `made` never gives nothing
        raise BadInput("no canary was begun")
    return record


def check_begin(last: TrafficRecord | None, champion: Registered, challenger: Registered, plan: Plan) -> None:
    """See that a canary can begin after the last record.

    Raises:
        BadInput: One is running, both are the same model, or the plan is none.
    """
    _check(plan)
    if champion.digest == challenger.digest:
        raise BadInput(f"{challenger.name} is the champion's very model; register another one to try")
    if last is not None and last.running:
        raise BadInput(
            f"a canary of {last.model}/{last.challenger.version} is running (record {last.canary}); end it with "
            f"`sluice canary {last.model} --stop --reason TEXT`"
        )


def end(records: TrafficRecords, reason: str, now: float) -> TrafficRecord:
    """Put on record that a person ends the canary that runs; from now on the challenger answers nobody.

    Raises:
        BadInput: None is running.
        EnvironmentFault: The store failed.
    """

    def made(last: TrafficRecord | None) -> News:
        if last is None or not last.running:
            raise BadInput(f"no canary of {records.model} is running")
        return News("end", last.champion, last.challenger, 0.0, reason, last.plan, last.state, canary=last.canary)

    record = records.append(made, now)
    if record is None:  # pragma: no cover - `made` never gives nothing
        raise BadInput("no canary was ended")
    return record


class Watch:
    """Looks at a model's canary again and again.

    Args:
        store: Where records and counts are.
        model: The registered model's name.
        registry: Where the aliases are.
        losses: Who knows true losses, if anybody does.
        estimates: Who estimates losses, if anybody does.
    """

    def __init__(
        self,
        store: Store,
        model: str,
        registry: Registry,
        losses: LossSource | None = None,
        estimates: LossSource | None = None,
    ) -> None:
        self.records = TrafficRecords(store, model)
        self._store, self._model, self.registry = store, model, registry
        self._sources = {name: each for name, each in zip(LOSSES, (losses, estimates), strict=True) if each}

    def look(self, now: float) -> tuple[TrafficRecord | None, Verdict | None]:
        """Decide once; the record that was written, if any, and what was found, if a canary runs.

        Raises:
            BadInput: Records or counts are broken, or what was promoted is not what was tried.
            EnvironmentFault: The store or the registry failed.
        """
        last = self.records.refresh()
        if last is None or not last.running:
            if last is not None and last.event == "promote":
                self._carry_out(last)
            return None, None
        plan, state = Plan(**_tuples(last.plan)), State(**last.state)
        cells = self._cells(last, plan, state)
        seen = Evidence(self._digest(CHAMPION), self._digest(CHALLENGER), _arms(cells))
        verdict = decide(plan, state, seen, now)
        if verdict.outcome == "hold" and not verdict.looked:
            return None, verdict
        record = self.records.append(lambda present: self._news(present, last, verdict, cells), now)
        if record is not None and record.event == "promote":
            self._carry_out(record)
        return record, verdict

    def follow(self, told: Callable[[TrafficRecord | None, Verdict | None], bool], pause: float = 2.0) -> None:
        """Look again and again until `told` says that it is enough."""
        while told(*self.look(time.time())):
            time.sleep(pause)

    def _news(
        self, present: TrafficRecord | None, last: TrafficRecord, verdict: Verdict, cells: dict[str, Cells]
    ) -> News | None:
        if present is None or present.number != last.number:
            return None  # another process decided meanwhile
        digest = self.records.keep({guard: each.to_json() for guard, each in cells.items()})
        body = verdict.to_json()
        state = body.pop("state")
        pair = last.champion, last.challenger
        return News(verdict.outcome, *pair, verdict.weight, verdict.reason, last.plan, state, body, digest, last.canary)

    def _cells(self, record: TrafficRecord, plan: Plan, state: State) -> dict[str, Cells]:
        """What all servers counted since the step began, and, where that is enough for a look, the losses known."""
        requests = Cells()
        for key in self._store.keys(f"traffic/{self._model}/counts/{record.place}/"):
            try:
                requests.merge(read_cells(json.loads(self._store.get_bytes(key))))
            except (ValueError, KeyError, TypeError) as error:
                raise BadInput(f"{self._store.uri}/{key} holds no counts ({error}); delete it") from None
        began = next(each for each in self.records.records if each.place == record.place and each.canary)
        found = {"requests": requests}
        due = requests.counts()[1] >= (state.next_look or plan.first_look)
        for name, source in self._sources.items() if due else ():
            if name not in plan.guards:
                continue
            rows = source.since(began.moment)
            found[name] = loss_cells(rows, record.champion.digest, record.challenger.digest)
        return found

    def _digest(self, alias: str) -> str:
        number = self.registry.aliases(self._model).get(alias, "")
        return self.registry.version(self._model, number).digest if number else ""

    def _carry_out(self, record: TrafficRecord) -> None:
        """Move the alias, unless that was done already; where it must not move, the canary ends with the reason."""
        if self._digest(CHAMPION) != record.champion.digest or self._was_decided(record):
            return
        evidence: dict[str, Any] = {"canary": {"record": record.number, "cells": record.evidence}}
        challenger, reason = record.challenger, f"Its canary (record {record.number}) found {record.reason}."
        pair = challenger.version, challenger.digest, record.champion.digest
        try:
            made = promote_after_canary(self._model, *pair, reason, evidence, self._store)
            refused = made.reason if made.decision == "refused" else ""
        except BadInput as error:
            refused = str(error)
        if refused:
            self.records.append(lambda last: _ended(last, record, f"not promoted: {refused}"), time.time())

    def _was_decided(self, record: TrafficRecord) -> bool:
        """Whether the promotions hold what came of it: a person may have decided otherwise since."""
        decided = (each.evidence.get("canary") or {} for each in promotions(self._store, self._model))
        return any(each.get("record") == record.number for each in decided)


def _ended(last: TrafficRecord | None, record: TrafficRecord, reason: str) -> News | None:
    if last is None or last.number != record.number:
        return None
    return News("end", record.champion, record.challenger, 0.0, reason, record.plan, record.state, canary=record.canary)


def _arms(cells: dict[str, Cells]) -> dict[str, Arms]:
    found = {guard: Arms(*cells["requests"].arms(place)) for place, guard in enumerate(MEASURES)}
    return found | {name: Arms(*cells[name].arms(0)) for name in LOSSES if name in cells}


def _tuples(body: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    return {key: tuple(value) if isinstance(value, list) else value for key, value in body.items()}


def _check(plan: Plan) -> None:
    rising = np.all(np.diff(plan.steps) > 0) if plan.steps else False
    if not rising or not all(0 < step < 1 for step in plan.steps):
        raise BadInput(
            f"steps {', '.join(f'{100 * step:g}' for step in plan.steps) or '(none)'}: give growing shares in percent, "
            "each above 0 and below 100, such as 1,5,25,50; after the last the challenger is promoted"
        )
    known = (*MEASURES, *LOSSES)
    for guard in plan.guards:
        if guard not in known:
            raise BadInput(f"guard {guard!r} is none of {', '.join(known)}")
    if not plan.guards:
        raise BadInput(f"a canary without a guard would promote anything; name some of {', '.join(known)}")
    for name, least, most in (("alpha", 0.0, 0.5), ("power", 0.5, 1.0)):
        if not least < getattr(plan, name) < most:
            raise BadInput(f"{name}={getattr(plan, name):g}: give a number above {least:g} and below {most:g}")
