"""The step train: baselines, then candidates from the simplest to the most complex, under equal budgets."""
