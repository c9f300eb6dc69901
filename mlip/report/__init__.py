"""Report: directories to one self-contained HTML file."""
