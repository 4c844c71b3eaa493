"""What `sluice operate --dry-run` tells: the past replayed under `policy: cost`, and nothing changed."""

from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sluice.core.durations import parse_duration
from sluice.core.errors import BadInput
from sluice.running.terminal import console, plain, print_json

if TYPE_CHECKING:
    from sluice.operator.on_laptop.documents import Operated
    from sluice.operator.replaying import Replay, Tried


def dry_run(operated: "Operated", last: str, *, as_json: bool) -> None:
    """Replay the windows in the store, and tell what each way to choose would have cost.

    Args:
        operated: The file.
        last: How much of the past, such as `90d`.
        as_json: Tell it as JSON, each step's words too.

    Raises:
        BadInput: `last` is no duration, there are no prices, or too few windows tell.
        EnvironmentFault: The store failed.
    """
    from sluice.operator.decision_records import read_decisions
    from sluice.operator.on_laptop.windows_seen import WindowReader
    from sluice.operator.replaying import replay
    from sluice.storage.locations import default_store

    try:
        past = timedelta(seconds=parse_duration(last))
    except ValueError as error:
        raise BadInput(f"--last: {error}") from None
    store, model = default_store(), operated.training.model
    reader = WindowReader(store)
    windows = reader.windows(model, reader.versions(model))
    kept = [each for each in read_decisions(store, model) if each.name == operated.name]
    runs = [each.decision.at for each in kept if each.decision.outcome == "start"]
    try:
        found = replay(operated.training, windows, runs, past)
    except BadInput as error:
        raise BadInput(f"{operated.path}, model {model}: {error}") from None
    if as_json:
        print_json(_body(found))
        return
    for line in _lines(found, model):
        console().print(plain(line), highlight=False, soft_wrap=True)


def _lines(found: "Replay", model: str) -> list[str]:
    wide = max(len(each.name) for each in found.tried)
    when = f"{found.since:%Y-%m-%d} to {found.until:%Y-%m-%d}"
    return [
        f"{model}, {when}, by {found.windows} windows; money in {found.currency}",
        f"{'':{wide}}  runs  {'price':>9}  {'being old':>9}  {'together':>9}",
        *(_line(each, wide) for each in found.tried),
        "What versions would have cost that were never trained is an estimate; nothing was changed.",
    ]


def _line(tried: "Tried", wide: int) -> str:
    days = ", ".join(f"{each:%m-%d}" for each in tried.runs[:_SHOWN])
    more = " …" if len(tried.runs) > _SHOWN else ""
    money = "  ".join(f"{each:9.2f}" for each in (tried.price, tried.old, tried.total))
    return f"{tried.name:{wide}}  {len(tried.runs):4}  {money}  {days}{more}".rstrip()


_SHOWN = 8


def _body(found: "Replay") -> dict[str, Any]:
    body = asdict(found) | {"since": found.since.isoformat(), "until": found.until.isoformat()}
    body["tried"] = [
        asdict(each) | {"runs": [run.isoformat() for run in each.runs], "total": each.total} for each in found.tried
    ]
    body["decisions"] = [{"at": at.isoformat(), "words": words} for at, words in found.decisions]
    return body
