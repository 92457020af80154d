"""From a scan to the images that a model sees, and from images back to a scan."""
