"""Where ions are: their density in the framework, and the paths that it opens."""
