"""A served model in this process: its graph, and the rows that it takes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sluice.core.errors import BadInput
from sluice.exporting.graph_values import ABSENT, INPUT, NO_MOMENT
from sluice.exporting.served_files import GRAPH, ServedModel, read_served_model
from sluice.serving.exchange import Answer
from sluice.serving.row_schema import Columns, RowSchema

DIGEST_NOTE = "sluice.model_digest"


class GraphJudge:
    """A folder with a served model, loaded and warm.

    Attributes:
        served: What it is.
        schema: What a row of it holds.
    """

    def __init__(self, folder: Path, threads: int = 1) -> None:
        import onnxruntime

        self.served: ServedModel = read_served_model(folder)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session: Any = onnxruntime.InferenceSession(
                str(folder / GRAPH), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # noqa: BLE001 - onnxruntime's errors have no common class
            reason = str(error).partition("\n")[0][:200]
            raise BadInput(f"{folder / GRAPH} is no graph that can be run ({reason}); export the model again") from None
        stated = self._session.get_modelmeta().custom_metadata_map.get(DIGEST_NOTE, "")
        if stated != self.served.digest:
            raise BadInput(
                f"{folder / GRAPH} is the graph of the model {stated[:12] or '(unknown)'}, and serving.json that of "
                f"{self.served.digest[:12]}; export the model again"
            )
        self.schema = RowSchema(self.served.fields)
        self.judge(_blank(self.schema))

    def judge(self, columns: Columns) -> Answer:
        """Forecast rows whose columns `RowSchema.columns` made."""
        given: Mapping[str, Any] = {INPUT + name: column for name, column in columns.items()}
        values: npt.NDArray[np.float64] = self._session.run(None, given)[0]
        if not self.served.classes:
            return Answer(values[:, 0], None)
        if self.served.threshold is None:
            return Answer(values, values.argmax(axis=1))
        return Answer(values, (values[:, 1] >= self.served.threshold).astype(np.int64))

    def predict(self, rows: Sequence[Mapping[str, Any]]) -> Answer:
        """Check rows and forecast them.

        Raises:
            InvalidRows: A value breaks the contract.
        """
        return self.judge(self.schema.columns(rows))


def _blank(schema: RowSchema) -> Columns:
    """A row without a value: what a model is tried on before it is called ready."""
    blanks: Columns = {}
    for field in schema.fields:
        if field.type == "string":
            blanks[field.name] = np.array([ABSENT], object)
        elif field.type in ("timestamp", "date"):
            blanks[field.name] = np.array([NO_MOMENT], np.int64)
        else:
            blanks[field.name] = np.array([np.nan])
    return blanks
