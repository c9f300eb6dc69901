"""Ingest: raw first-principles data to a certified set."""
