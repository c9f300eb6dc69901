"""Conductivity of single ions and of all together."""
