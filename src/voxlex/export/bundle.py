"""The descriptions in a MONAI bundle: what the network takes and gives, and how MONAI runs it on scans.

The format is MONAI's bundle specification, with its schema of `metadata.json`.
"""

from collections.abc import Mapping
from importlib import metadata
from typing import Any

from voxlex.export.description import preparation
from voxlex.run_folder import versions
from voxlex.vocabulary import Vocabulary

RUN = "models/run"
"""Where the run folder lies in a bundle."""

_SCHEMA = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
_OLDEST_MONAI = "1.5.0"
_COMPONENTS = "voxlex.workflows.in_monai"
_PAPER = "A. van den Oord, O. Vinyals, K. Kavukcuoglu. Neural Discrete Representation Learning. 2017. arXiv 1711.00937."


def bundle_metadata(
    vocabulary: Vocabulary, *, name: str, licence: str | None, figures: Mapping[str, float | int]
) -> dict[str, Any]:
    """Return the content of `configs/metadata.json`.

    Args:
        vocabulary: The vocabulary.
        name: Name of the run.
        licence: Identifier of the licence of the weights; None if it is not said.
        figures: Figures of an evaluation; empty if there are none.
    """
    found, autoencoder = versions(), vocabulary.autoencoder
    image = {
        "type": "image",
        "format": "magnitude",
        "modality": "n/a",
        "num_channels": autoencoder.in_channels,
        "spatial_shape": list(vocabulary.space),
        "dtype": "float32",
        "value_range": [0, 1],
        "is_patch_data": False,
        "channel_def": {str(channel): "image" for channel in range(autoencoder.in_channels)},
    }
    codes = {
        "codes" if len(vocabulary.layouts) == 1 else f"codes_{level}": {
            "type": "image",
            "format": "latent",
            "modality": "n/a",
            "num_channels": layout.num_codebooks,
            "spatial_shape": list(layout.grid),
            "dtype": "int64",
            "value_range": [0, layout.num_embeddings - 1],
            "is_patch_data": False,
            "channel_def": {str(codebook): f"codes of codebook {codebook}" for codebook in range(layout.num_codebooks)},
        }
        for level, layout in enumerate(vocabulary.layouts)
    }
    dims = len(vocabulary.space)
    return {
        "schema": _SCHEMA,
        "version": "1.0.0",
        "changelog": {"1.0.0": f"written by voxlex {found['voxlex']}"},
        "monai_version": _monai(),
        "pytorch_version": found["torch"].partition("+")[0],
        "numpy_version": found["numpy"],
        "required_packages_version": {"voxlex": found["voxlex"]},
        "supported_apps": {},
        "name": name,
        "task": f"Discrete codes of {dims}D brain images, and images of codes",
        "description": "A vocabulary that voxlex has learned. The network reconstructs images from their codes.",
        "authors": "not said",
        "copyright": f"weights: {licence}" if licence else "not said",
        "data_source": "not said",
        "data_type": "pictures, NIfTI, DICOM and all that voxlex reads",
        "image_classes": " ".join(preparation(vocabulary.config.data, channels=autoencoder.in_channels)),
        "pred_classes": "the image as its codes describe it",
        "eval_metrics": dict(figures),
        "intended_use": "Research. It is not a medical device.",
        "references": [_PAPER],
        "network_data_format": {"inputs": {"image": image}, "outputs": {"pred": image}},
        "encoder_data_format": {"inputs": {"image": image}, "outputs": codes},
    }


def bundle_inference() -> dict[str, Any]:
    """Return the content of `configs/inference.json`: encode and reconstruct all scans of a folder."""
    return {
        "bundle_root": ".",
        "dataset_dir": "/workspace/data",
        "output_dir": "$@bundle_root + '/eval'",
        "overwrite": False,
        "decoding": "faithful",
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "network_def": {
            "_target_": f"{_COMPONENTS}.Reconstructor",
            "run": f"$@bundle_root + '/{RUN}'",
            "decoding": "@decoding",
        },
        "network": "$@network_def.to(@device)",
        "encoder": {"_target_": f"{_COMPONENTS}.Encoder", "reconstructor": "@network"},
        "dataset": {"_target_": f"{_COMPONENTS}.Images", "reconstructor": "@network", "source": "@dataset_dir"},
        "dataloader": {"_target_": "DataLoader", "dataset": "@dataset", "batch_size": 8, "num_workers": 0},
        "inferer": {"_target_": "SimpleInferer"},
        "evaluator": {
            "_target_": f"{_COMPONENTS}.Inference",
            "reconstructor": "@network",
            "images": "@dataset",
            "output_dir": "@output_dir",
            "overwrite": "@overwrite",
        },
        "run": ["$@evaluator.run()"],
    }


def bundle_logging() -> str:
    """Return the content of `configs/logging.conf`: MONAI prints what is said of the work."""
    sections = {
        "loggers": ["keys=root"],
        "handlers": ["keys=console"],
        "formatters": ["keys=plain"],
        "logger_root": ["level=INFO", "handlers=console"],
        "handler_console": ["class=StreamHandler", "formatter=plain", "args=(sys.stdout,)"],
        "formatter_plain": ["format=%(asctime)s - %(name)s - %(levelname)s - %(message)s"],
    }
    return "\n".join("\n".join([f"[{name}]", *lines, ""]) for name, lines in sections.items())


def _monai() -> str:
    try:
        return metadata.version("monai")
    except metadata.PackageNotFoundError:  # it is not needed to write a bundle
        return _OLDEST_MONAI
