"""Building blocks that know nothing of quantization."""
