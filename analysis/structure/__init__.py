"""Structure of a liquid, glass or crystal: angles, scattering, anions, cells, order."""
