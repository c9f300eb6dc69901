"""Train: a set and a recipe to a committee of potentials."""
