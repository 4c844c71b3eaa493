"""The operator: models kept trained, served and accounted for; one reconciliation on a cluster and on a laptop."""
