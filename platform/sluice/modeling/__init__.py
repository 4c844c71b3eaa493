"""Models, and training them under equal budgets."""
