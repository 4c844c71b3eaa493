"""A graph in this process: opened once, asked by columns."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sluice.core.environment import set_default
from sluice.core.errors import BadInput
from sluice.core.variable_groups.system import SystemVariables
from sluice.exporting.graph_values import INPUT

DIGEST_NOTE = "sluice.model_digest"
Floats = npt.NDArray[np.float64]


class GraphSession:
    """A graph on the CPU; calls may come from several threads.

    Args:
        graph: The file's path, or its bytes.
        threads: That one call may use.
        digest: Of the model that it must be the graph of; empty for any.

    Raises:
        BadInput: It cannot be run, or is the graph of another model.
    """

    def __init__(self, graph: Path | bytes, threads: int = 1, digest: str = "") -> None:
        set_default(SystemVariables.graph_reports.name, "1")  # it is looked at once, when the library is loaded
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        where = str(graph) if isinstance(graph, Path) else "the graph"
        try:
            self._session: Any = onnxruntime.InferenceSession(
                where if isinstance(graph, Path) else graph, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # noqa: BLE001 - onnxruntime's errors have no common class
            reason = str(error).partition("\n")[0][:200]
            raise BadInput(f"{where} is no graph that can be run ({reason}); export the model again") from None
        stated = self._session.get_modelmeta().custom_metadata_map.get(DIGEST_NOTE, "")
        if digest and stated != digest:
            raise BadInput(
                f"{where} is the graph of the model {stated[:12] or '(unknown)'}, and serving.json that of "
                f"{digest[:12]}; export the model again"
            )
        self._names = [(INPUT + name, name) for name in self.columns]

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it takes."""
        return tuple(each.name.removeprefix(INPUT) for each in self._session.get_inputs())

    def forecast(self, columns: Mapping[str, np.ndarray]) -> Floats:
        """Its answer, shape (rows, classes), or (rows, 1) for a number; columns that it does not take are passed by."""
        found: Floats = self._session.run(None, {given: columns[name] for given, name in self._names})[0]
        return found
