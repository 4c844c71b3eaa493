"""The operator on one machine: the same reconciliation, over files in SLUICE_HOME and a clock that can be driven."""
