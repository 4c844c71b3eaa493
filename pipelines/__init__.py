"""Sluice's pipelines: one file is one pipeline.

A file may say beside its pipeline, in `CHOICES`, which values a parameter accepts: the command refuses others, and the
form of KFP's UI offers these. KFP keeps no `Literal` annotation, so it cannot stand in the signature.
"""
