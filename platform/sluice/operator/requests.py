"""What persons and programs ask for."""

from sluice.operator import champions
from sluice.operator.draft import Draft
from sluice.operator.evidence import RequestSeen
from sluice.operator.noticing import REQUEST, wait
from sluice.operator.state import Pending

_MOST_WAITING = 40
_ABOUT_CHAMPIONS = {
    "approve": champions.approve,
    "refuse": champions.refuse,
    "promote": champions.promote,
    "rollback": champions.roll_back,
}


def take_requests(draft: Draft) -> None:
    """Take up requests that nobody answered, oldest first."""
    known = {each.uid for each in draft.state.answers} | {each.request for each in draft.state.pending}
    known |= {each.request for each in draft.state.intents}
    for request in sorted(draft.evidence.requests, key=lambda each: (each.created, each.uid)):
        if request.uid in known:
            continue
        if request.action == "train":
            _train(draft, request)
        elif draft.state.move is None and draft.evidence.asked("registry"):
            told = _ABOUT_CHAMPIONS[request.action](draft, request)
            if told is None:
                continue  # it is answered when the registry shows what was asked for
            accepted, words = told
            if not accepted:
                draft.decided("answer", "refused a request", f"{request.action} asked for by {request.by} is refused: "
                              f"{words}", inputs={"request": request.name}, by=request.by)  # fmt: skip
            draft.answer(request.uid, words, accepted=accepted)


def _train(draft: Draft, request: RequestSeen) -> None:
    if len(draft.state.pending) < _MOST_WAITING:  # else it stays as it is, unanswered, and is taken up later
        pending = Pending(
            trigger=REQUEST, identity=request.uid, since=draft.now, request=request.uid, by=request.by,
            parameters=request.parameters,
        )  # fmt: skip
        wait(draft, pending, together=False)
