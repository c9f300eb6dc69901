"""Figures of an analysis as PNG bytes, one module a topic."""
