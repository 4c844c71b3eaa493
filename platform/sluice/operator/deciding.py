"""The pure heart of the operator: from a specification, what is remembered and what is seen to what is to be done."""

from datetime import datetime

from sluice.operator.actions import Outcome
from sluice.operator.evidence import Evidence
from sluice.operator.specs import ContinuousTrainingSpec
from sluice.operator.state import State
from sluice.operator.worlds import Subject


def decide(
    subject: Subject,
    spec: ContinuousTrainingSpec,
    state: State,
    evidence: Evidence,
    now: datetime,
    *,
    deleted: bool = False,
) -> Outcome:
    """Decide; the same inputs give the same outcome, and nothing else is looked at.

    Args:
        subject: Whom it is about.
        spec: What is asked.
        state: What is remembered.
        evidence: What is seen.
        now: The moment, in UTC.
        deleted: Whether the resource is being deleted.
    """
    raise NotImplementedError
