"""What evaluation found, as register reads it back from the JSON artifact."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sluice.artifacts.bundles import Bundle
from sluice.core.digests import sha256_json
from sluice.core.errors import BadInput
from sluice.core.json_documents import read_json

_SCHEMAS = (1, 2)


@dataclass(frozen=True)
class Verdict:
    """An evaluation.

    Attributes:
        body: The JSON document; `components/evaluate/README.md` says what it holds.
    """

    body: dict[str, Any]

    @property
    def digest(self) -> str:
        """SHA-256 of the document: what a promotion's evidence names."""
        return sha256_json(self.body)

    @property
    def winner(self) -> str:
        """The winner's name: its folder in the models bundle."""
        return str(self.body["winner"])

    @property
    def champion_digest(self) -> str:
        """The digest of the champion that the winner was compared with, or empty."""
        return str((self.body["champion"] or {}).get("digest", ""))

    @property
    def winner_row(self) -> dict[str, Any]:
        """What is known of the winner: family, parameters, metrics."""
        return next(dict(row) for row in self.body["candidates"] if row["name"] == self.winner)

    def table(self) -> list[dict[str, Any]]:
        """The candidates against the baselines: name, baseline, metrics with intervals, and why one was cut."""
        keys = ("name", "baseline", "metrics")
        return [{key: row[key] for key in keys} | {"cut": row.get("cut", "")} for row in self.body["candidates"]]


def read_verdict(path: Path, splits: Bundle, models: Bundle) -> Verdict:
    """Read an evaluation and make sure that it judged these very models on these very rows.

    Raises:
        BadInput: It is no evaluation, of another version, or of other inputs.
    """
    try:
        body = read_json(path)
        schema, judged = body["schema"], body["datasets"]
        missing = {"task", "candidates", "winner", "winner_digest", "champion", "checks", "decision", "reason"} - set(
            body
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{path} is no evaluation ({error!r}); run evaluate again") from None
    if schema not in _SCHEMAS or missing:
        known = " or ".join(map(str, _SCHEMAS))
        raise BadInput(f"{path} is an evaluation of schema {schema}, not {known}; run evaluate again")
    for name, bundle in (("splits", splits), ("models", models)):
        if judged[name] != bundle.id:
            raise BadInput(
                f"{path} judged {name} {judged[name][:12]}, not {bundle.id[:12]}; run evaluate on these {name}"
            )
    return Verdict(body)
