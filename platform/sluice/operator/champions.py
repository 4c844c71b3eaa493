"""Who reigns: approvals with a deadline, what persons ask for, and going back to the last good champion."""

from datetime import timedelta

from sluice.operator.actions import Action, AskApproval, Promote, RollBack
from sluice.operator.draft import Draft
from sluice.operator.evidence import RequestSeen, VersionSeen
from sluice.operator.parts import span
from sluice.operator.state import Move
from sluice.operator.windows import worse_windows

_KEPT_WITHDRAWN = 100


def watch_champion(draft: Draft) -> None:
    """Finish what was decided about the champion, let approvals expire, and go back where the champion is bad."""
    _settle_move(draft)
    _expire(draft)
    if draft.state.move is None:
        _roll_back_by_itself(draft)


def order_moves(draft: Draft) -> None:
    """What is to be done about the champion now."""
    if draft.state.move:
        draft.actions.append(_order_of(draft.state.move))
    approval = draft.state.approval
    if approval:
        if not approval.told:
            draft.actions.append(AskApproval(approval.version, approval.deadline, "it passed the gate"))
        draft.wake(approval.deadline)


def _order_of(move: Move) -> Action:
    if move.kind == "promote":
        return Promote(move.version, move.digest, move.by, move.reason)
    return RollBack(move.replaces, move.version, move.reason, move.by)


def _settle_move(draft: Draft) -> None:
    move, champion = draft.state.move, draft.evidence.champion
    if move is None or not draft.evidence.asked("registry"):
        return
    reigns = champion.version if champion else ""
    if reigns == move.version:
        draft.change(move=None)
        _answer_move(draft, move, f"version {reigns} is champion: {move.reason}", accepted=True)
    elif reigns != move.replaces:
        draft.change(move=None)
        words = f"version {reigns or 'none'} was made champion in between; version {move.version} is left"
        draft.decided("nothing", "champion changed", words, inputs={"champion": reigns})
        _answer_move(draft, move, words, accepted=False)


def _answer_move(draft: Draft, move: Move, words: str, *, accepted: bool) -> None:
    """Answer who asked for a change of the champion, by what the registry says."""
    if move.request:
        draft.answer(move.request, words, accepted=accepted)


def _expire(draft: Draft) -> None:
    approval = draft.state.approval
    if approval and draft.now >= approval.deadline:
        draft.change(approval=None, withdrawn=_withdrawn(draft, approval.digest))
        draft.decided("refuse", "approval expired", f"version {approval.version} is refused: nobody approved it "
                      f"until {approval.deadline:%Y-%m-%d %H:%M} UTC",
                      inputs={"version": approval.version}, key=approval.key)  # fmt: skip


def _roll_back_by_itself(draft: Draft) -> None:
    champion, rules = draft.evidence.champion, draft.spec.rollback
    if champion is None or draft.spec.suspend or not draft.evidence.asked("registry"):
        return
    if draft.now - champion.since > span(rules.within):
        return
    why, inputs = _unhealthy(draft, champion), {"champion": champion.version}
    rule = "unhealthy"
    if not why and rules.performance:
        reign = [each for each in draft.evidence.windows if each.end > champion.since]
        bad = worse_windows(reign, champion.version, rules.performance, draft)
        if bad:
            why, rule = bad.words, "worse than judged"
            inputs["window"] = bad.identity
    if why:
        _go_back(draft, champion, rule, why, inputs)


def _unhealthy(draft: Draft, champion: VersionSeen) -> str:
    server, limit = draft.evidence.server, draft.spec.rollback.unhealthy
    if limit is None or server is None or server.healthy or server.version != champion.version:
        return ""
    lasting = draft.now - max(server.since, champion.since)
    if lasting < span(limit):
        draft.wake(draft.now + span(limit) - lasting)
        return ""
    return f"its servers have not answered for {_words(lasting)}{': ' + server.reason if server.reason else ''}"


def _words(time: timedelta) -> str:
    seconds = int(time.total_seconds())
    return f"{seconds} seconds" if seconds < _MINUTES else f"{seconds // 60} minutes"


_MINUTES = 180


def _go_back(draft: Draft, champion: VersionSeen, rule: str, why: str, inputs: dict[str, str]) -> None:
    good = next((each for each in draft.evidence.good if _may_reign(draft, each, champion)), None)
    told: dict[str, object] = dict(inputs)
    if good is None:
        draft.decided("nothing", "no good champion", f"version {champion.version} stays: {why}; no earlier champion "
                      "is there to go back to", inputs={"champion": champion.version})  # fmt: skip
        return
    _move_back(draft, champion, good, rule, why, told)


def _move_back(
    draft: Draft,
    champion: VersionSeen,
    to: VersionSeen,
    rule: str,
    why: str,
    inputs: dict[str, object],
    request: RequestSeen | None = None,
) -> None:
    reason = f"version {to.version} reigns again in place of version {champion.version}: {why}"
    by, uid = (request.by, request.uid) if request else ("", "")
    draft.change(
        move=Move(
            kind="roll back", version=to.version, digest=to.digest, replaces=champion.version, by=by, reason=reason,
            request=uid,
        ),
        withdrawn=_withdrawn(draft, champion.digest),
    )  # fmt: skip
    draft.decided("roll back", rule, reason, inputs={**inputs, "to": to.version}, by=by)  # type: ignore[dict-item]


def _may_reign(draft: Draft, version: VersionSeen, champion: VersionSeen) -> bool:
    return version.version != champion.version and version.digest not in draft.state.withdrawn


def _withdrawn(draft: Draft, digest: str) -> tuple[str, ...]:
    others = tuple(each for each in draft.state.withdrawn if each != digest)
    return (*others, digest)[-_KEPT_WITHDRAWN:] if digest else others


def approve(draft: Draft, request: RequestSeen) -> tuple[bool, str] | None:
    """Let the version that waits become champion; None until the registry says so, or the answer at once."""
    approval = draft.state.approval
    if approval is None or approval.version != request.version:
        waits = f"version {approval.version} waits" if approval else "no version waits"
        return False, f"version {request.version} does not wait for an approval; {waits}"
    champion = draft.evidence.champion
    words = f"approved by {request.by}{': ' + request.reason if request.reason else ''}"
    draft.change(
        approval=None,
        move=Move(
            kind="promote", version=approval.version, digest=approval.digest, by=request.by, reason=words,
            replaces=champion.version if champion else "", request=request.uid,
        ),
    )  # fmt: skip
    draft.decided("promote", "approved", f"version {approval.version} becomes champion, {words}",
                  inputs={"version": approval.version, "request": request.name},
                  key=approval.key, by=request.by)  # fmt: skip
    return None


def refuse(draft: Draft, request: RequestSeen) -> tuple[bool, str]:
    """Refuse the version that waits."""
    approval = draft.state.approval
    if approval is None or (request.version and request.version != approval.version):
        waits = f"version {approval.version} waits" if approval else "no version waits"
        return False, f"there is nothing to refuse: {waits}"
    draft.change(approval=None, withdrawn=_withdrawn(draft, approval.digest))
    words = f"version {approval.version} is refused by {request.by}{': ' + request.reason if request.reason else ''}"
    draft.decided("refuse", "refused", words, inputs={"version": approval.version, "request": request.name},
                  key=approval.key, by=request.by)  # fmt: skip
    return True, words


def promote(draft: Draft, request: RequestSeen) -> tuple[bool, str] | None:
    """Make a version champion past the gate; returns as `approve`."""
    version, champion = request.version or "", draft.evidence.champion
    reigns = champion.version if champion else ""
    if version == reigns:
        return False, f"version {version} is champion already"
    approval = draft.state.approval
    draft.change(
        approval=None if approval and approval.version == version else approval,
        move=Move(
            kind="promote", version=version, replaces=reigns, by=request.by, request=request.uid,
            reason=f"asked for by {request.by}: {request.reason}",
        ),
    )  # fmt: skip
    draft.decided("promote", "asked for", f"version {version} becomes champion, asked for by {request.by}: "
                  f"{request.reason}", inputs={"version": version, "request": request.name}, by=request.by)  # fmt: skip
    return None


def roll_back(draft: Draft, request: RequestSeen) -> tuple[bool, str] | None:
    """Go back to the last good champion, or to the one that is named; returns as `approve`."""
    champion = draft.evidence.champion
    if champion is None:
        return False, "there is no champion to go back from"
    named = [each for each in draft.evidence.good if each.version == request.version]
    good = named if request.version else [each for each in draft.evidence.good if _may_reign(draft, each, champion)]
    if not good:
        what = (
            f"version {request.version} was not champion before" if request.version else "no earlier champion is there"
        )
        return False, f"{what}; `promote` makes any version champion"
    why = f"asked for by {request.by}{': ' + request.reason if request.reason else ''}"
    inputs: dict[str, object] = {"champion": champion.version, "request": request.name}
    _move_back(draft, champion, good[0], "asked for", why, inputs, request)
    return None
