"""Champion and challenger side by side in one process: which of them answers a request, by a weight and a hash.

A subject, or a request that names none, has one place from 0 to 1, the same in every process that has the same two
versions, and the challenger answers for all places below its weight. So a subject stays with its version, and a change
of the weight moves no more subjects than it must. Who answers is read once a request: a version that was swapped out
ends what it began.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

from sluice.exporting.served_files import ServedModel
from sluice.serving.aliases import CHAMPION
from sluice.serving.exchange import Answer, Judge, Loaded, NoModel
from sluice.serving.row_schema import Columns, InvalidRows, RowSchema

_WHOLE = 2.0**64


@dataclass(frozen=True)
class Stand:
    """Who can answer at one moment.

    Attributes:
        champion: Who answers by default.
        challenger: Who answers for a share of the subjects.
        weight: That share, from 0 to 1.
        salt: What the places of subjects hang on: the challenger's digest, so that each canary meets other subjects.
    """

    champion: Loaded | None = None
    challenger: Loaded | None = None
    weight: float = 0.0
    salt: bytes = b""


class Split:
    """A `Traffic` of two versions; it is a `Stage`, too, for who follows the aliases.

    Args:
        failed: Is told the role of a version that raised where it should have answered.
    """

    def __init__(self, failed: Callable[[str], None] = lambda _role: None) -> None:
        self._stand, self._failed, self._lock = Stand(), failed, threading.Lock()
        self._weigh: Callable[[str, str], float] = lambda _champion, _challenger: 0.0

    @property
    def stand(self) -> Stand:
        """Who can answer now."""
        return self._stand

    def chosen(self, request: str, subject: str) -> Loaded:
        """See `Traffic.chosen`.

        Raises:
            NoModel: No version is loaded yet.
        """
        stand = self._stand
        if stand.weight and stand.challenger and place(stand.salt, subject or request) < stand.weight:
            return stand.challenger
        if stand.champion is None:
            raise NoModel("no version is loaded yet; try again in some seconds")
        return stand.champion

    def versions(self) -> tuple[Loaded, ...]:
        """See `exchange.Versions`."""
        return tuple(each for each in (self._stand.champion, self._stand.challenger) if each is not None)

    def settle(self, role: str, loaded: Loaded | None) -> None:
        """See `aliases.Stage`."""
        watched = loaded and replace(loaded, judge=_Watched(loaded.judge, role, self._failed), role=role)
        with self._lock:
            stand = self._stand
            changed = replace(stand, champion=watched) if role == CHAMPION else replace(stand, challenger=watched)
            self._stand = self._weighed(changed)

    def weigh(self, weigh: Callable[[str, str], float]) -> None:
        """From now on the challenger's weight is what `weigh` says of the digests of champion and challenger."""
        with self._lock:
            self._weigh = weigh
            self._stand = self._weighed(self._stand)

    def _weighed(self, stand: Stand) -> Stand:
        if stand.champion is None or stand.challenger is None:
            return replace(stand, weight=0.0, salt=b"")
        digest = stand.challenger.digest
        weight = self._weigh(stand.champion.digest, digest)
        return replace(stand, weight=min(1.0, max(0.0, weight)), salt=digest[:64].encode())


def place(salt: bytes, name: str) -> float:
    """Where a subject or a request stands, from 0 to just below 1, as good as at random."""
    digest = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8, key=salt[:64]).digest()
    return int.from_bytes(digest, "big") / _WHOLE


def unwatched(judge: Judge) -> Judge:
    """The judge itself, whose exceptions are not counted as those of an answer."""
    return judge.plain if isinstance(judge, _Watched) else judge


class _Watched:
    """A judge whose exceptions are counted on their way; what a caller did wrong is none."""

    def __init__(self, judge: Judge, role: str, failed: Callable[[str], None]) -> None:
        self.plain, self._role, self._failed = judge, role, failed
        self.served: ServedModel = judge.served
        self.schema: RowSchema = judge.schema

    def judge(self, columns: Columns) -> Answer:
        """See `Judge.judge`."""
        try:
            return self.plain.judge(columns)
        except InvalidRows:
            raise
        except Exception:
            self._failed(self._role)
            raise

    def predict(self, rows: Sequence[Mapping[str, Any]]) -> Answer:
        """See `Judge.predict`."""
        return self.judge(self.schema.columns(rows))
