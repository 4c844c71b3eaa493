"""The steps of Sluice's pipelines: one folder is one step."""
