"""Building blocks that know nothing of quantisation."""
