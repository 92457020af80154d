"""A quantizer of voxlex in a LightningModule, trained for some steps on phantom brains.

pip install voxlex lightning
python examples/lightning_module.py --steps 300
"""

import argparse

import lightning
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from voxlex.data.phantoms.phantom import generate_subject
from voxlex.models import Decoder, Encoder
from voxlex.quantizers import VectorQuantizer


class LitVQVAE(lightning.LightningModule):
    """A VQ-VAE whose codebook learns by running means; Lightning does the rest."""

    def __init__(self, *, num_embeddings: int = 256, embedding_dim: int = 4, learning_rate: float = 2e-3) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.encoder = Encoder(embedding_dim=embedding_dim, width=32, stem_width=16, blocks=1)
        self.quantizer = VectorQuantizer(num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        self.decoder = Decoder(embedding_dim=embedding_dim, width=32, stem_width=16, blocks=1)

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        (x,) = batch
        quantized = self.quantizer(self.encoder(x))  # with several processes, the codebook stays the same on all
        loss = F.l1_loss(self.decoder(quantized.z_q), x) + quantized.loss
        self.log("loss", loss)
        return loss

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        (x,) = batch
        quantized = self.quantizer(self.encoder(x))  # in eval mode, the codebook does not change
        self.log("val_l1", F.l1_loss(self.decoder(quantized.z_q), x))
        self.log("val_codes", float(len(quantized.codes.unique())))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=self.hparams["learning_rate"])


def loader(subjects: range, *, shuffle: bool = False) -> DataLoader:
    images = torch.cat([generate_subject(number, size=64) for number in subjects])  # (n, 1, 64, 64) in [0, 1]
    return DataLoader(TensorDataset(images), batch_size=16, shuffle=shuffle, drop_last=shuffle)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=300)
    options = parser.parse_args()
    lightning.seed_everything(0, verbose=False)
    module, held_out = LitVQVAE(), loader(range(6, 7))
    trainer = lightning.Trainer(
        max_steps=options.steps,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    (before,) = trainer.validate(module, held_out, verbose=False)
    trainer.fit(module, loader(range(6), shuffle=True), held_out)
    (after,) = trainer.validate(module, held_out, verbose=False)
    print(
        f"held out: L1 {before['val_l1']:.4f} before, {after['val_l1']:.4f} after; {after['val_codes']:.0f} codes used"
    )


if __name__ == "__main__":
    main()
