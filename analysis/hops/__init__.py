"""Hops of ions, rotations of anions."""
