"""Build: crystals and other start structures, geometry only."""
