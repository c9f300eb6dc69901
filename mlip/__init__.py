"""Train, validate and drive DeePMD potentials of solid electrolytes."""

__version__ = "0.1.0"
