"""The operator's process on a cluster: what it watches, asks and writes there."""
