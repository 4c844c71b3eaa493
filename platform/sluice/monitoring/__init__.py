"""Watching a model at work: its performance, estimated or true; broken data; drift; few alarms that hold a stated rate."""
