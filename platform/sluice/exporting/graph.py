"""An ONNX graph in the making: nodes are added one by one and named by themselves.

Source: ONNX IR version 10, operator sets 21 (`ai.onnx`) and 5 (`ai.onnx.ml`), https://onnx.ai/onnx/operators/.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from sluice.exporting.graph_values import IMAGE, INPUT, MOMENT, NUMBER, TEXT
from sluice.exporting.refusals import NotExportable as NotExportable  # who builds a graph refuses with it

IR_VERSION, OPERATORS, ML_OPERATORS = 10, 21, 5
ML = "ai.onnx.ml"
_TYPES = {NUMBER: TensorProto.DOUBLE, TEXT: TensorProto.STRING, MOMENT: TensorProto.INT64, IMAGE: TensorProto.UINT8}


class Graph:
    """Nodes, constants and inputs, each with a name of its own."""

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._tensors: list[TensorProto] = []
        self._inputs: dict[str, str] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._single: set[str] = set()
        self._bounds: dict[str, tuple[float, float]] = {}
        self._count = 0

    def input(self, name: str, kind: str) -> str:
        """A column of the rows, shape (rows,), by its own name; `kind` is NUMBER, TEXT or MOMENT."""
        if self._inputs.setdefault(name, kind) != kind:
            raise NotExportable(f"column {name!r} is wanted as {kind} and as {self._inputs[name]}")
        return _input(name)

    def pixels(self, name: str, height: int, width: int, channels: int) -> str:
        """A column of decoded images, uint8, shape (rows, height, width, channels), by its own name."""
        self._shapes[name] = (height, width, channels)
        return self.input(name, IMAGE)

    @property
    def inputs(self) -> Mapping[str, str]:
        """The kinds of the columns that are asked for, by name."""
        return self._inputs

    def constant(self, value: Any) -> str:  # noqa: ANN401 - whatever NumPy takes
        """A constant array; the same one is kept once."""
        array = np.asarray(value)
        if array.dtype.kind in "OUS":
            array = array.astype(object)
            held = "\x1f".join(map(str, array.ravel())).encode("utf-8", "surrogatepass")
        else:
            held = array.tobytes()
        key = (str(array.dtype), array.shape, held)
        if key not in self._constants:
            name = self._name("c")
            self._constants[key] = name
            self._single |= set() if array.shape else {name}
            self._tensors.append(numpy_helper.from_array(array, name))
        return self._constants[key]

    def add(self, operator: str, *inputs: str, domain: str = "", **attributes: Any) -> str:  # noqa: ANN401 - ONNX's
        """Add a node; the name of its one output."""
        output = self._name("v")
        if all(name in self._single for name in inputs):
            self._single.add(output)
        self._nodes.append(helper.make_node(operator, list(inputs), [output], domain=domain, **attributes))
        return output

    def is_single(self, name: str) -> bool:
        """Whether it is one value for all rows: a constant, or made of such by operators that go element by element."""
        return name in self._single

    def cast(self, name: str, kind: Any) -> str:  # noqa: ANN401 - a NumPy type
        """The same values as another type."""
        return self.add("Cast", name, to=helper.np_dtype_to_tensor_dtype(np.dtype(kind)))

    def column(self, name: str) -> str:
        """Shape (rows,) to (rows, 1)."""
        return self.add("Unsqueeze", name, self.constant(np.array([1], np.int64)))

    def bounded(self, name: str, low: float, high: float) -> str:
        """The same numbers, missing outside of two bounds: `matrix` takes those away, from all columns in one go."""
        output = self.add("Identity", name)
        self._bounds[output] = (low, high)
        return output

    def matrix(self, names: list[str], most: float) -> str:
        """Columns of numbers, shape (rows,) each, beside each other; NaN outside of their bounds.

        Args:
            names: float64.
            most: No number is farther from 0.
        """
        known = [self._bounds.get(name, (-most, most)) for name in names]
        lows = np.array([max(low, -most) for low, _ in known])
        highs = np.array([min(high, most) for _, high in known])
        if len(names) == 1:
            matrix = self.column(names[0])
        else:  # three nodes for any number of columns
            flat = self.add("Concat", *names, axis=0)
            shaped = self.add("Reshape", flat, self.constant(np.array([len(names), -1], np.int64)))
            matrix = self.add("Transpose", shaped, perm=[1, 0])
        if (lows == -highs).all() and (highs == highs[0]).all():
            inside = self.add("LessOrEqual", self.add("Abs", matrix), self.constant(highs[0]))
        else:
            above = self.add("GreaterOrEqual", matrix, self.constant(lows))
            inside = self.add("And", above, self.add("LessOrEqual", matrix, self.constant(highs)))
        return self.add("Where", inside, matrix, self.constant(np.float64(np.nan)))

    def side_by_side(self, names: list[str]) -> str:
        """Matrices beside each other, shape (rows, all columns)."""
        return names[0] if len(names) == 1 else self.add("Concat", *names, axis=1)

    def model(
        self, output: str, name: str, columns: int, notes: Mapping[str, str], *, texts: bool = False
    ) -> ModelProto:
        """The whole graph.

        Args:
            output: float64, shape (rows, columns); or texts, shape (rows,).
            name: What the output is called.
            columns: Its width.
            notes: Kept among the file's metadata.
            texts: Whether the output holds texts.
        """
        self._nodes.append(helper.make_node("Identity", [output], [name]))
        inputs = [
            helper.make_tensor_value_info(_input(column), _TYPES[kind], ["rows", *self._shapes.get(column, ())])
            for column, kind in self._inputs.items()
        ]
        form = (TensorProto.STRING, ["rows"]) if texts else (TensorProto.DOUBLE, ["rows", columns])
        told = [helper.make_tensor_value_info(name, *form)]
        graph = helper.make_graph(self._nodes, "sluice", inputs, told, self._tensors)
        operators = [helper.make_opsetid("", OPERATORS), helper.make_opsetid(ML, ML_OPERATORS)]
        made = helper.make_model(graph, opset_imports=operators, ir_version=IR_VERSION, producer_name="sluice")
        helper.set_model_props(made, dict(notes))
        return made

    def _name(self, kind: str) -> str:
        self._count += 1
        return f"{kind}{self._count}"


def _input(column: str) -> str:
    return INPUT + column
