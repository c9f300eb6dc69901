"""Motion of ions: mean squared displacement, diffusion, frozen frameworks, vibrations."""
