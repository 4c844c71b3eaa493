"""Who did what with a model: every promotion record, and every decision that a person asked for."""

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote

from sluice.operator.decision_records import read_decisions
from sluice.registry.promotions import promotions
from sluice.storage.stores import Store

_PROMOTIONS = "promotions/"


@dataclass(frozen=True)
class Deed:
    """Something that was done.

    Attributes:
        when: UTC, ISO 8601; of a past that was lived again, by its clock.
        who: The person, or `user@host` of the process that did it.
        did: The record's word: promoted, appointed, restored, withdrawn, refused, waits, or what a person asked for.
        about: The model and version, or what is operated.
        reason: Why, as the record says.
        record: Where it stands in the store.
    """

    when: str
    who: str
    did: str
    about: str
    reason: str
    record: str


def deeds(store: Store, about: str = "") -> list[Deed]:
    """What was done, oldest first.

    Args:
        store: With the records.
        about: Only those of this model, or of what is operated by this name; empty for all.

    Raises:
        BadInput: A record is malformed, or its chain is broken.
        EnvironmentFault: The store failed.
    """
    found = [*_promoted(store), *_asked(store)]
    return sorted((each for each in found if not about or about in _names(each)), key=lambda each: each.when)


def _names(deed: Deed) -> tuple[str, ...]:
    return (deed.about, deed.about.partition("/")[0])


def _promoted(store: Store) -> Iterator[Deed]:
    models = dict.fromkeys(key.removeprefix(_PROMOTIONS).partition("/")[0] for key in store.keys(_PROMOTIONS))
    for model in map(unquote, models):
        for each in promotions(store, model):
            yield Deed(
                each.when,
                each.who,
                each.decision,
                f"{model}/{each.version}",
                each.reason,
                f"{_PROMOTIONS}{model}/{each.number:06}.json",
            )


def _asked(store: Store) -> Iterator[Deed]:
    for name, found, key in ((each.name, each.decision, each.key) for each in read_decisions(store)):
        if found.by:
            yield Deed(found.at.isoformat(timespec="seconds"), found.by, found.outcome, name, found.words, key)
