"""Label: structures to energies, forces and virials of first principles."""
