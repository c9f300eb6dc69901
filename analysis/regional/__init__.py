"""Motion by region, or by what surrounds an ion."""
