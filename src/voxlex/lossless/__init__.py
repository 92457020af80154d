"""Integer arrays coded bit for bit: pictures and volumes, alone or beside a prediction that the decoder knows."""

from voxlex.lossless.codec import decode, encode

__all__ = ["decode", "encode"]
