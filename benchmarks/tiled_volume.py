"""Encode and decode a whole 256³ volume in tiles, and measure time, peak memory and the error at seams.

    python benchmarks/tiled_volume.py [--run RUN] [--side 256] [--halo CELLS]

Without a run, this uses an untrained network of the default shape (4 voxels per code, 1,024 codewords). Its output is
meaningless, but it takes as much time and memory as a trained network.
"""

import argparse
import resource
import sys
import time

import torch

from voxlex.assembly import build_autoencoder
from voxlex.config import ModelConfig
from voxlex.data.phantoms.phantom import generate_volume
from voxlex.models import Autoencoder, tiling
from voxlex.vocabulary import load


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", help="run folder of a vocabulary of volumes")
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--halo", type=int, help="number of cells; by default the reach of the network")
    parser.add_argument("--tile", type=int, help="number of cells in a tile, without the halo")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    autoencoder = load(arguments.run).autoencoder if arguments.run else build_autoencoder(ModelConfig(spatial_dims=3))
    autoencoder.eval()
    coarse = generate_volume(0, size=arguments.side // 2, spacing_mm=384 / arguments.side)[None]
    volume = torch.nn.functional.interpolate(coarse, scale_factor=2, mode="trilinear")
    print(f"before: {peak_gb():.2f} GB")
    started = time.perf_counter()
    codes = tiling.encode_tiled(autoencoder, volume, tile=arguments.tile, halo=arguments.halo)
    print(
        f"encoded to {tuple(codes.shape[2:])} codes in {time.perf_counter() - started:.0f} s, peak {peak_gb():.2f} GB"
    )
    started = time.perf_counter()
    image = tiling.decode_tiled(autoencoder, codes, tile=arguments.tile, halo=arguments.halo)
    print(f"decoded in {time.perf_counter() - started:.0f} s, peak {peak_gb():.2f} GB")
    at_seams, elsewhere = error_at_seams(autoencoder, image, volume, tile=arguments.tile, halo=arguments.halo)
    print(f"mean error at seams {at_seams:.5f}, elsewhere {elsewhere:.5f}: {at_seams / elsewhere:.3f} times")


def error_at_seams(
    autoencoder: Autoencoder, image: torch.Tensor, volume: torch.Tensor, *, tile: int | None, halo: int | None
) -> tuple[float, float]:
    """Return the mean error of the foreground within one cell of a seam between tiles, and elsewhere."""
    patch = autoencoder.downsampling
    grid = tuple(side // patch for side in volume.shape[2:])
    near = torch.zeros(volume.shape[2:], dtype=torch.bool)
    for axis, starts in enumerate(tiling.seams(autoencoder, grid, tile=tile, halo=halo)):
        for start in starts:
            near.narrow(axis, start * patch - patch, 2 * patch).fill_(True)
    error = (image - volume).abs()[0, 0]
    foreground = volume[0, 0] > volume.mean()
    return float(error[near & foreground].mean()), float(error[~near & foreground].mean())


def peak_gb() -> float:
    """Return the peak memory of this process in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9


if __name__ == "__main__":
    main()
