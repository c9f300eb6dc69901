"""MD: a protocol, a model and a structure to a run."""
