"""Sluice: from a data lake to a model that someone can trust and trace."""
