"""Network building blocks that do not depend on quantization."""
