"""Watching a model at work: its performance, estimated or true; broken data; drift; few alarms."""
