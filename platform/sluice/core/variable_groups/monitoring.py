"""The variables of watching models."""

from sluice.core.variable_kinds import secret
from sluice.core.variables import VariableGroup


class MonitoringVariables(VariableGroup):
    """Who is told of alarms."""

    webhook = secret(
        "SLUICE_MONITOR_WEBHOOK",
        meaning="The address that `sluice monitor` sends new alarms to, as JSON. Never shown: a token may stand in it. "
        "`--webhook` comes before it.",
    )
