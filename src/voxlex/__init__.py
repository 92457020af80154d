"""voxlex: a discrete vocabulary for brain images.

```
import voxlex

vocabulary = voxlex.load("runs/demo")
codes = vocabulary.encode(images)            # (b, h, w) NumPy or (b, 1, h, w) tensors to int64 (b, q, *grid)
x_hat = vocabulary.decode(codes)             # back to float32 (b, 1, h, w) in [0, 1]
new = vocabulary.sample(16, seed=0)          # 16 new images
```
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from voxlex.archive.archive import open_archive
    from voxlex.data.sources import open_source
    from voxlex.images.frame import Frame
    from voxlex.models import VQVAE
    from voxlex.priors import GatedPixelCNN, MaskedPrior, TransformerPrior
    from voxlex.quantizers import VectorQuantizer
    from voxlex.scans.held import as_scan
    from voxlex.scans.read_write import read_scan, write_scan
    from voxlex.scans.scan import Scan
    from voxlex.vocabulary import Vocabulary, load

_HOMES = {
    "Frame": "voxlex.images.frame",
    "VQVAE": "voxlex.models",
    "GatedPixelCNN": "voxlex.priors",
    "MaskedPrior": "voxlex.priors",
    "Scan": "voxlex.scans.scan",
    "TransformerPrior": "voxlex.priors",
    "VectorQuantizer": "voxlex.quantizers",
    "Vocabulary": "voxlex.vocabulary",
    "as_scan": "voxlex.scans.held",
    "load": "voxlex.vocabulary",
    "open_archive": "voxlex.archive.archive",
    "open_source": "voxlex.data.sources",
    "read_scan": "voxlex.scans.read_write",
    "write_scan": "voxlex.scans.read_write",
}

__all__ = [
    "VQVAE",
    "Frame",
    "GatedPixelCNN",
    "MaskedPrior",
    "Scan",
    "TransformerPrior",
    "VectorQuantizer",
    "Vocabulary",
    "as_scan",
    "load",
    "open_archive",
    "open_source",
    "read_scan",
    "write_scan",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, which keeps `import voxlex` and `voxlex --help` fast."""
    if name == "__version__":
        from importlib.metadata import version

        return version("voxlex")
    if name not in _HOMES:
        raise AttributeError(f"module 'voxlex' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES, "__version__"])
