"""Forecasts all rows of a dataset by a registered model, into a dataset with lineage."""
