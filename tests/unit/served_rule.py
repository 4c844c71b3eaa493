"""A small model for tests of what surrounds a model in a server: it answers by a rule, from raw rows of every type."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sluice.exporting.served_files import Parity, RowField, ServedModel
from sluice.predictions.request_ids import new_request_id
from sluice.serving.exchange import Answer, Exchange, Loaded
from sluice.serving.row_schema import Columns, RowSchema

FIELDS = (
    RowField(name="amount", type="float64", nullable=True),
    RowField(name="count", type="int64", nullable=True),
    RowField(name="plan", type="string", nullable=True),
    RowField(name="new", type="bool", nullable=True),
    RowField(name="asked", type="timestamp", nullable=True),
    RowField(name="day", type="date", nullable=True),
    RowField(name="email", type="string", nullable=True, mask="hash"),
    RowField(name="note", type="string", nullable=True, mask="drop"),
)
KEY = (RowField(name="order", type="int64", nullable=True),)


def served(digest: str = "d" * 64, classes: tuple[str, ...] = ("no", "yes")) -> ServedModel:
    return ServedModel(
        model="orders",
        digest=digest,
        question="Will it come late?",
        problem="binary" if classes else "regression",
        label="late",
        classes=classes,
        threshold=0.5 if classes else None,
        key=("order",),
        fields=FIELDS,
        carried=KEY,
        parity=Parity(rows=1, on_thresholds=0, largest_difference=0, limit=1e-6),
    )


@dataclass
class Rule:
    """A share that rises with the amount, or the amount itself."""

    served: ServedModel = field(default_factory=served)
    schema: RowSchema = field(default_factory=lambda: RowSchema(FIELDS))

    def judge(self, columns: Columns) -> Answer:
        share = 1 - 1 / (1 + np.nan_to_num(np.abs(columns["amount"])))
        if not self.served.classes:
            return Answer(columns["amount"], None)
        return Answer(np.column_stack([1 - share, share]), (share >= 0.5).astype(np.int64))

    def predict(self, rows: Sequence[Mapping[str, Any]]) -> Answer:
        return self.judge(self.schema.columns(rows))


def exchange(
    rows: Sequence[Mapping[str, Any]], moment: float, rule: Rule, role: str = "champion", version: str = "1"
) -> Exchange:
    """One request, answered."""
    columns = rule.schema.columns(rows)
    carried = RowSchema(KEY).columns(rows)
    loaded = Loaded(f"orders/{version}", rule, role)
    return Exchange(new_request_id(), moment, loaded, columns | carried, rule.judge(columns), 0.001)
