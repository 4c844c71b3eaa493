"""The variables of the operator."""

from sluice.core.variable_kinds import text
from sluice.core.variables import VariableGroup


class OperatorVariables(VariableGroup):
    """What tests ask of the operator."""

    failpoint = text(
        "SLUICE_FAILPOINT",
        meaning="A place where the operator is killed on purpose, such as `before-save`, or `before-save:3` for the "
        "third time that it passes there.",
        without="none",
    )
