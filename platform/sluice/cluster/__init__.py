"""Sluice on a cluster: pipelines compiled for KFP's backend, submitted, followed, and set up after an installation."""
