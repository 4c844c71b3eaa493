"""What all judges have in common: the schema of a row, and from a forecast to an answer."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from sluice.exporting.forms import Served
from sluice.exporting.graph_values import ABSENT, NO_MOMENT
from sluice.exporting.refusals import Unanswerable, WrongValues
from sluice.exporting.served_files import ServedModel
from sluice.serving.exchange import Answer
from sluice.serving.row_schema import MOST_TOLD, Columns, InvalidRows, Problem, RowSchema


class FormJudge:
    """A served model, loaded and warm; see `sluice.serving.exchange.Judge`.

    Attributes:
        served: What it is.
        schema: What a row of it holds.
    """

    def __init__(self, served: ServedModel, form: Served) -> None:
        self.served, self.schema, self._form = served, RowSchema(served.fields), form
        self._ask: Callable[[Columns], np.ndarray] = form.ask
        own = served.features == "code" or served.forecast == "code"
        with suppress(Exception if own else InvalidRows):  # a project's code need not take a row without a value
            self.judge(blank(self.schema))

    def judge(self, columns: Columns) -> Answer:
        """Forecast rows whose columns `RowSchema.columns` made.

        Raises:
            InvalidRows: The project's code gives no features for a row.
        """
        try:
            values = self._ask(columns)
        except WrongValues as error:
            found = [Problem(*each) for each in error.problems[:MOST_TOLD]]
            raise InvalidRows(found, len(error.problems)) from None
        except Unanswerable as error:
            problems = [Problem(row, self._named, error.words) for row in error.rows[:MOST_TOLD]]
            raise InvalidRows(problems or [Problem(None, self._named, error.words)], len(error.rows) or 1) from None
        if not self.served.classes:
            return Answer(values.reshape(-1), None)
        if self.served.threshold is None:
            return Answer(values, values.argmax(axis=1))
        return Answer(values, (values[:, 1] >= self.served.threshold).astype(np.int64))

    def predict(self, rows: Sequence[Mapping[str, Any]]) -> Answer:
        """Check rows and forecast them.

        Raises:
            InvalidRows: A value breaks the contract.
        """
        return self.judge(self.schema.columns(rows))

    def close(self) -> None:
        """Let go of tables and files."""
        self._form.close()

    @property
    def _named(self) -> str:
        """What a problem with a whole row is told by."""
        return ", ".join(self.served.key)


def blank(schema: RowSchema) -> Columns:
    """A row without a value: what a model is tried on before it is called ready."""
    blanks: Columns = {}
    for field in schema.fields:
        if field.type == "string":
            blanks[field.name] = np.array([ABSENT], object)
        elif field.type in ("timestamp", "date"):
            blanks[field.name] = np.array([NO_MOMENT], np.int64)
        elif field.shape is not None:
            from sluice.features.png_images import ImageShape, blank_png

            blanks[field.name] = np.array([blank_png(ImageShape(*field.shape))], object)
        else:
            blanks[field.name] = np.array([np.nan])
    return blanks
