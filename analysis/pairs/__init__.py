"""Pairs and triplets of atoms: g(r), coordination numbers, angles."""
