"""Local order: Voronoi cells, coordination polyhedra, crystallinity."""
