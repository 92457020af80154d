"""Find pairs of images that show the same slice."""
