"""HTML pages, pictures and curves."""
