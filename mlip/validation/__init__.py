"""Validate: a model against first-principles data it has not seen."""
