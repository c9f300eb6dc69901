"""Distributions of displacements: non-Gaussian parameter, van Hove functions, F_s."""
