"""What a page may ask for, as types that check it."""

import base64
import binascii
from typing import Annotated, TypeVar

import numpy as np
from annotated_types import Ge, Gt, Le, MaxLen
from pydantic import BaseModel, ConfigDict, ValidationError

from voxlex.config import Decoding
from voxlex.errors import brief

M = TypeVar("M", bound="Request")

Seed = Annotated[int, Ge(0), Le(2**53)]
Temperature = Annotated[float, Gt(0), Le(5)]
Number = Annotated[int, Ge(0), Le(2**31)]


class Request(BaseModel):
    """A request with only the values that are listed."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Edit(Request):
    """Another codeword for a cell.

    Attributes:
        level: Level of the codes, 0 for the coarsest.
        codebook: Codebook of the level.
        cell: Cell in raster order.
        code: The codeword.
    """

    level: Number = 0
    codebook: Number = 0
    cell: Number
    code: Number


class DecodeRequest(Request):
    """A scan to decode, with other codewords in some cells."""

    edits: Annotated[tuple[Edit, ...], MaxLen(8192)] = ()
    decoding: Decoding = "faithful"
    seed: Seed = 0


class SampleRequest(Request):
    """New images; see `voxlex sample`."""

    count: Annotated[int, Ge(1), Le(64)] = 4
    seed: Seed = 0
    temperature: Temperature = 1.0
    top_p: Annotated[float, Gt(0), Le(1)] | None = None
    guidance: Annotated[float, Ge(0), Le(10)] = 1.0
    condition: Annotated[dict[str, str | float], MaxLen(64)] = {}
    decoding: Decoding | None = None


class RegionRequest(Request):
    """A region to draw anew; see `voxlex inpaint`.

    Attributes:
        row: The scan.
        mask: The region in base64, one bit for each pixel in raster order, the highest bit first.
        count: Number of draws.
        temperature: See `Vocabulary.inpaint`.
        seed: Seed of the first draw.
    """

    row: Number
    mask: Annotated[str, MaxLen(2**19)]
    count: Annotated[int, Ge(1), Le(16)] = 6
    temperature: Temperature = 1.0
    seed: Seed = 0

    def pixels(self, shape: tuple[int, ...]) -> np.ndarray:
        """Return the region as an array of booleans.

        Raises:
            ValueError: If it does not have this shape, or is empty.
        """
        try:
            packed = np.frombuffer(base64.b64decode(self.mask, validate=True), np.uint8)
        except binascii.Error as cause:
            raise ValueError("mask: expected base64, got something else") from cause
        size = int(np.prod(shape))
        if len(packed) != -(-size // 8):
            raise ValueError(f"mask: expected {-(-size // 8)} bytes for {size} pixels, got {len(packed)}")
        region = np.unpackbits(packed, count=size).astype(bool).reshape(shape)
        if not region.any():
            raise ValueError("mask: expected at least one pixel, got none; paint a region first")
        return region


def parsed(kind: type[M], body: bytes) -> M:
    """Read a request.

    Raises:
        ValueError: If it is not what is expected.
    """
    try:
        return kind.model_validate_json(body or b"{}")
    except ValidationError as cause:
        first = cause.errors()[0]
        where = ".".join(map(str, first["loc"])) or "request"
        raise ValueError(f"{where}: {first['msg'].lower()}, got {brief(first.get('input'))}") from cause
