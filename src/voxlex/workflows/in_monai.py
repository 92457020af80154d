"""What a MONAI bundle of a run is made of: networks, a data set of scans, and the work on a folder of scans.

MONAI finds these by their names in the configuration of a bundle. They need voxlex alone. What they make of scans is
what the commands of voxlex make of them: they are read, scaled and framed by the same functions.
"""

import logging
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from voxlex.config import Decoding
from voxlex.data.sources import SourceLike
from voxlex.outputs import check_folder
from voxlex.types import Codes, CodesLike, Image, Levels
from voxlex.vocabulary import load
from voxlex.workflows.encode import check_code_file, encode
from voxlex.workflows.opening import open_for, skipped_lines
from voxlex.workflows.reconstruct import reconstruct

CODES, RECONSTRUCTIONS = "codes.parquet", "reconstructions"
"""File and folder of the results."""

_LOG = logging.getLogger(__name__)


class Reconstructor(nn.Module):
    """Images to codes and back to images, as a network.

    Args:
        run: The run folder; or whatever else `voxlex.load` takes.
        decoding: How codes become images; see `Vocabulary.decode`.
        seed: Seed of the texture.

    Attributes:
        vocabulary: The vocabulary, whose networks are those of this module.

    Raises:
        RunError: If the run cannot be used, or has no textured decoder and one is asked for.
    """

    def __init__(self, run: str | Path, *, decoding: Decoding = "faithful", seed: int = 0) -> None:
        super().__init__()
        self.vocabulary = load(run)
        self.vocabulary.check_decoding(decoding)
        self.decoding: Decoding = decoding
        self.seed = seed
        self.autoencoder = self.vocabulary.autoencoder
        self.texture = self.vocabulary.texture

    def forward(self, image: Image) -> Image:
        """Return the reconstruction of images `(b, c, *space)` in [0, 1]."""
        return self.decode(self.encode(image))

    @torch.no_grad()
    def encode(self, image: Image) -> Codes | Levels:
        """Return the codes of images; see `Vocabulary.encode`."""
        return self.vocabulary.encode(image)

    @torch.no_grad()
    def decode(self, codes: CodesLike) -> Image:
        """Return the images of codes; see `Vocabulary.decode`."""
        return self.vocabulary.decode(codes, decoding=self.decoding, seed=self.seed)


class Encoder(nn.Module):
    """Images to codes, as a network.

    Args:
        reconstructor: The network that has the vocabulary.
    """

    def __init__(self, reconstructor: Reconstructor) -> None:
        super().__init__()
        self.reconstructor = reconstructor

    def forward(self, image: Image) -> Codes | Levels:
        """Return the codes of images `(b, c, *space)` in [0, 1]: int64 `(b, q, *grid)`, or a tuple of them by level."""
        return self.reconstructor.encode(image)


class Images(Dataset[dict[str, Tensor | str]]):
    """The images that a vocabulary sees of scans: pictures, all slices of volumes, or cubes.

    Each item is a dictionary with "image", a tensor `(c, *space)` in [0, 1], and "path", the name of its scan. Images
    are kept in voxlex's cache.

    Args:
        reconstructor: The network that has the vocabulary, whose frame and intensities count.
        source: A folder of scans, a single scan, or whatever else `open_source` takes.

    Attributes:
        prepared: The images, with all that restores scans from them.

    Raises:
        DataError: If the source cannot be used.
    """

    def __init__(self, reconstructor: Reconstructor, source: SourceLike) -> None:
        self.prepared = open_for(reconstructor.vocabulary.config, source, whole=True)

    def __len__(self) -> int:
        return len(self.prepared)

    def __getitem__(self, row: int) -> dict[str, Tensor | str]:
        return {"image": self.prepared.tensor([row])[0], "path": str(self.prepared.manifest["path"].iloc[row])}


class Inference:
    """Encodes and reconstructs scans, and writes what `voxlex encode` and `voxlex reconstruct` write.

    Args:
        reconstructor: The network.
        images: The images of the scans.
        output_dir: Folder for the file `codes.parquet` and the folder `reconstructions`.
        overwrite: Replace results that are there.
    """

    def __init__(
        self, reconstructor: Reconstructor, images: Images, output_dir: str | Path, *, overwrite: bool = False
    ) -> None:
        self.reconstructor, self.images, self.output_dir = reconstructor, images, Path(output_dir)
        self.overwrite = overwrite

    def run(self) -> None:
        """Write the codes and the reconstructions of all scans.

        Raises:
            DataError: If results are there already, or cannot be written.
        """
        codes, network = self.output_dir / CODES, self.reconstructor
        out, overwrite = self.output_dir / RECONSTRUCTIONS, self.overwrite
        check_code_file(codes, overwrite=overwrite)
        check_folder(out, overwrite=overwrite)
        for line in skipped_lines(self.images.prepared):
            _LOG.warning(line)
        count = encode(network.vocabulary, self.images.prepared, out=codes, overwrite=overwrite)
        written = reconstruct(
            network.vocabulary,
            self.images.prepared,
            out=out,
            decoding=network.decoding,
            seed=network.seed,
            overwrite=overwrite,
        )
        _LOG.info("codes of %d images in %s, %d scans in %s", count, codes, written.count, out)
