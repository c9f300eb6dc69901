"""Trajectories of all formats behind one view."""
