"""What of a run opens an archive: the decoder, and with the coder "prior" the prior; also inside an archive."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from voxlex.archive.tables import Tables
from voxlex.assembly import build_autoencoder, build_prior
from voxlex.code_table import decoder_fingerprint
from voxlex.config import dump_config, read_config
from voxlex.errors import ArchiveError, CodesError, RunError, VoxlexError
from voxlex.files import atomic_file, workplace
from voxlex.models.weights import load_weights, save_weights
from voxlex.priors import Conditions, Prior
from voxlex.run_folder import RunFolder
from voxlex.stores.fetching import is_copy
from voxlex.vocabulary import Vocabulary

_CONFIG, _DECODER, _PRIOR = "config.yaml", "decoder.safetensors", "prior.safetensors"


class Absent(nn.Module):
    """Stands for an encoder that an archive does not hold."""

    def forward(self, x: object) -> object:
        """Refuse to encode."""
        raise ArchiveError("encoding: expected the run of the archive, got its own model, which only decodes")


def prior_fingerprint(prior: Prior) -> str:
    """Return a hash of the weights of a prior."""
    digest = hashlib.sha256()
    for name, tensor in sorted(prior.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).numpy().tobytes())
    return digest.hexdigest()


def model_files(vocabulary: Vocabulary, *, with_prior: bool) -> dict[str, bytes]:
    """Return the files that decode codes: settings, and weights as safetensors."""
    modules: dict[str, nn.Module] = {_DECODER: nn.ModuleList(vocabulary.autoencoder.decoding_modules)}
    if with_prior and vocabulary.prior is not None:
        modules[_PRIOR] = vocabulary.prior
    files = {_CONFIG: dump_config(vocabulary.config).encode()}
    with workplace() as folder:
        for name, module in modules.items():
            save_weights(folder / name, module, about={"voxlex": "archive"})
            files[name] = (folder / name).read_bytes()
    return files


def model_from_files(files: Mapping[str, bytes], *, conditions: Sequence[Mapping[str, Any]]) -> Vocabulary:
    """Build the model that an archive holds. It decodes, and does not encode.

    Raises:
        ArchiveError: If files are missing or damaged.
    """
    try:
        with workplace() as folder:
            for name in (_CONFIG, _DECODER, _PRIOR):
                if name in files:
                    (folder / name).write_bytes(files[name])
            config = read_config(folder / _CONFIG, complete=True)
            autoencoder = build_autoencoder(config.model)
            load_weights(folder / _DECODER, nn.ModuleList(autoencoder.decoding_modules))
            autoencoder.encoder = Absent()
            prior = None
            if _PRIOR in files:
                space = (config.data.size,) * autoencoder.spatial_dims
                own = Conditions.from_description(conditions)
                prior = build_prior(config.prior, layouts=autoencoder.layouts(space), conditions=own)
                load_weights(folder / _PRIOR, prior)
                prior = prior.eval()
    except (VoxlexError, KeyError, TypeError, ValueError) as cause:
        raise ArchiveError(f"model: expected the files of a decoder, got others: {cause}") from cause
    return Vocabulary(autoencoder=autoencoder.eval(), prior=prior, config=config, metadata={})


def tables_of_run(run: Path, vocabulary: Vocabulary) -> Tables | None:
    """Return the tables that are part of a run; None if it has none for its present decoder.

    Raises:
        CodesError: If the file is damaged.
    """
    file = RunFolder.located(run).tables_file
    if not file.is_file():
        return None
    try:
        content = file.read_bytes()
    except OSError as cause:
        raise CodesError(f"{file}: cannot be read: {cause.strerror}") from cause
    tables = Tables.from_bytes(content)
    current = tables.model == decoder_fingerprint(vocabulary.autoencoder)  # it may have been trained further since
    return tables if current and tables.fits(vocabulary.layouts) else None


def check_keeps_tables(run: Path) -> None:
    """Raise RunError if a run is given by a name or an address, so that tables cannot become part of it."""
    if RunFolder.located(run).path != run or is_copy(run):
        raise RunError(
            f"{run}: expected a run folder to keep tables in, got a name or an address; copy the run into a folder"
        )


def keep_tables(run: Path, tables: Tables) -> None:
    """Make tables part of a run.

    Raises:
        DataError: If the run cannot be written.
    """
    with atomic_file(RunFolder(run).tables_file) as building:
        building.write_bytes(tables.content)
