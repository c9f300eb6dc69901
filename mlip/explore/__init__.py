"""Explore: where the committee disagrees, is labelled, and learns."""
