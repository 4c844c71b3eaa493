"""What evaluation found, as register reads it back from the JSON artifact."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sluice.artifacts.bundles import Bundle
from sluice.core.errors import BadInput
from sluice.core.json_documents import read_json
from sluice.evaluation.record import SCHEMA, CandidateRow, EvaluationRecord, first_fault


@dataclass(frozen=True)
class EvaluationVerdict:
    """An evaluation.

    Attributes:
        record: What it found.
    """

    record: EvaluationRecord

    @cached_property
    def body(self) -> dict[str, Any]:
        """The record as JSON values."""
        return self.record.body()

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the document: what a promotion's evidence names."""
        return self.record.digest

    @property
    def winner(self) -> str:
        """The winner's name: its folder in the models bundle."""
        return self.record.winner

    @property
    def passed(self) -> bool:
        """Whether the gate let the winner pass, or found it to be the champion itself."""
        return self.record.decision in ("promote", "unchanged")

    @property
    def champion_digest(self) -> str:
        """The digest of the champion that the winner was compared with, or empty."""
        return self.record.champion.digest if self.record.champion else ""

    @property
    def winner_row(self) -> dict[str, Any]:
        """What is known of the winner: family, parameters, metrics."""
        return next(dict(row) for row in self.body["candidates"] if row["name"] == self.winner)

    def table(self) -> list[dict[str, Any]]:
        """The candidates against the baselines; see `candidate_table`."""
        return candidate_table(self.record.candidates)


def candidate_table(candidates: tuple[CandidateRow, ...]) -> list[dict[str, Any]]:
    """The candidates against the baselines: name, baseline, metrics with intervals, and why one was cut."""
    return [row.model_dump(mode="json", include={"name", "baseline", "metrics", "cut"}) for row in candidates]


def read_verdict(path: Path, splits: Bundle, models: Bundle) -> EvaluationVerdict:
    """Read an evaluation and make sure that it judged these very models on these very rows.

    Raises:
        BadInput: It is no evaluation, of another version, or of other inputs.
    """
    record = read_record(path)
    for name, bundle in (("splits", splits), ("models", models)):
        judged = record.datasets.get(name, "")
        if judged != bundle.id:
            raise BadInput(f"{path} judged {name} {judged[:12]}, not {bundle.id[:12]}; run evaluate on these {name}")
    return EvaluationVerdict(record)


def read_record(path: Path) -> EvaluationRecord:
    """Read an evaluation.

    Raises:
        BadInput: It is none, or of another version.
    """
    try:
        body = read_json(path)
        schema = body["schema"]
        if schema != SCHEMA:
            raise BadInput(f"{path} is an evaluation of schema {schema}, not {SCHEMA}; run evaluate again")
        return EvaluationRecord.model_validate(body)
    except ValidationError as error:
        raise BadInput(f"{path} is no evaluation ({first_fault(error)}); run evaluate again") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(f"{path} is no evaluation ({error!r}); run evaluate again") from None
