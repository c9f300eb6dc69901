"""Disorder along an axis: profiles, F(z), interfaces, regions."""
