"""Motion of ions: displacements, diffusion, conductivity, vibrations."""
