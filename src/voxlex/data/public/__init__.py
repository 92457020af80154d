"""Public data sets: a catalog, and the means to download them."""
