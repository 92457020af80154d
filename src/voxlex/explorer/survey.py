"""The survey: it encodes and measures all scans beside other work, the test scans first."""

import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch

from voxlex import metrics
from voxlex.codes import for_each_level, from_levels, levels_of
from voxlex.data.dataset import PreparedDataset
from voxlex.data.division import SPLITS
from voxlex.types import Levels
from voxlex.vocabulary import Vocabulary

_BATCH = 16
_VOXELS_AT_ONCE = 2**19
_REST_S = 0.25  # without a request, before the survey goes on
_SHARE_OF_SURPRISE = 0.02

MOST_BYTES = 2**29
"""Bytes of codes that are kept in memory, of all surveys together."""

FIGURES = ("ssim", "psnr_db", "bits", "surprise")
"""Figures of each scan: SSIM and PSNR of its reconstruction, bits per code, and bits of its most surprising codes."""


class Survey:
    """The codes and the figures of all scans, as far as they are known.

    Codes and figures are stored in the order in which scans are taken: those of the test split first, because figures
    of scans that the model has seen are too good.

    Args:
        vocabulary: The vocabulary.
        dataset: The scans.
        idle_s: Function that returns for how many seconds nobody has asked for anything. The survey makes way.
        most_bytes: Bytes of codes that are kept; of larger sets only a part is surveyed.

    Attributes:
        order: The row of each place.
        codes: For each level, the codes `(n, q, *grid)` in this order.
        encoded: Number of scans with codes, SSIM and PSNR.
        scored: Number of scans with bits and surprise.
        figures: The values of `FIGURES` in this order; NaN where they are not known.
        failure: Why the survey has ended early; empty if it has not.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        dataset: PreparedDataset,
        *,
        idle_s: Callable[[], float] | None = None,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self._vocabulary = vocabulary
        self._dataset = dataset
        self._idle_s = idle_s or (lambda: float("inf"))
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="voxlex-survey", daemon=True)
        split = dataset.manifest["split"].to_numpy()
        rank = np.array([SPLITS[::-1].index(one) for one in split])
        layouts = vocabulary.autoencoder.layouts(dataset.images.shape[2:])
        bytes_each = sum(layout.codes_per_image * _dtype(layout.num_embeddings).itemsize for layout in layouts)
        self.order = np.argsort(rank, kind="stable")[: max(1, most_bytes // bytes_each)]
        self._place = np.full(len(dataset), -1)
        self._place[self.order] = np.arange(len(self.order))
        self.layouts = layouts
        self.codes = [np.zeros((len(self.order), *layout.shape), _dtype(layout.num_embeddings)) for layout in layouts]
        self.figures = {name: np.full(len(self.order), np.nan, np.float32) for name in FIGURES}
        self.encoded = 0
        self.scored = 0
        self.failure = ""

    def __len__(self) -> int:
        return len(self.order)

    def start(self) -> None:
        """Begin in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """End, and wait for the end."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout=60)

    def wait(self) -> None:
        """Wait until all scans are measured."""
        self._thread.join()

    @property
    def has_scores(self) -> bool:
        """Whether bits and surprise can be computed: there is a prior over codes of this layout."""
        prior = self._vocabulary.prior
        return prior is not None and tuple(prior.layouts) == tuple(self.layouts)

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to measure, or the survey has ended early."""
        done = self.whole and (self.scored == len(self.order) or not self.has_scores)
        return done or bool(self.failure) or self._stopping.is_set()

    @property
    def whole(self) -> bool:
        """Whether all scans are encoded."""
        return self.encoded == len(self.order)

    def codes_of(self, row: int) -> Levels | None:
        """Return the codes of a scan, `(1, q, *grid)` for each level; None if they are not known yet."""
        place = int(self._place[row])
        if not 0 <= place < self.encoded:
            return None
        return tuple(torch.from_numpy(level[place : place + 1].astype(np.int64)) for level in self.codes)

    def bits_of(self, levels: Levels, row: int) -> tuple[torch.Tensor, ...]:
        """Return the bits of each code of a scan under the prior, with the condition that the table states."""
        prior = self._vocabulary.prior
        assert prior is not None
        condition = self._condition(np.array([row]))
        with torch.no_grad():
            scores = prior.code_log_probs(from_levels(list(levels)), condition)
        return tuple(-metrics.bits(1.0) * score.float().cpu() for score in levels_of(scores))

    def _condition(self, rows: np.ndarray) -> torch.Tensor | None:
        if not self._vocabulary.conditions.columns:
            return None
        return self._vocabulary.conditions.look_up(self._dataset.manifest.iloc[rows])

    def _run(self) -> None:
        try:
            for span in self._spans():
                self._measure(span)
                self.encoded = span.stop
            for span in self._spans() if self.has_scores else ():
                self._score(span)
                self.scored = span.stop
        except Exception as error:
            self.failure = " ".join(str(error).split()) or type(error).__name__

    def _spans(self) -> Iterator[slice]:
        """Yield the scans of each batch, when nobody asks for anything else, until the survey is to stop."""
        at_once = max(1, min(_BATCH, _VOXELS_AT_ONCE // self._dataset.images[0].size))
        for start in range(0, len(self.order), at_once):
            while self._idle_s() < _REST_S and not self._stopping.is_set():
                time.sleep(0.02)
            if self._stopping.is_set():
                return
            yield slice(start, min(start + at_once, len(self.order)))

    def _measure(self, span: slice) -> None:
        x = self._dataset.tensor(self.order[span])
        codes = for_each_level(torch.Tensor.cpu, self._vocabulary.encode(x))
        x_hat = self._vocabulary.decode(codes).cpu()
        for kept, level in zip(self.codes, levels_of(codes), strict=True):
            kept[span] = level.numpy()
        self.figures["ssim"][span] = metrics.ssim(x_hat, x).numpy()
        self.figures["psnr_db"][span] = metrics.psnr_db(x_hat, x).numpy()

    def _score(self, span: slice) -> None:
        prior = self._vocabulary.prior
        assert prior is not None
        levels = [torch.from_numpy(level[span].astype(np.int64)) for level in self.codes]
        with torch.no_grad():
            scores = levels_of(prior.code_log_probs(from_levels(levels), self._condition(self.order[span])))
        bits = torch.cat([-metrics.bits(1.0) * level.float().flatten(1).cpu() for level in scores], dim=1)
        self.figures["bits"][span] = bits.mean(dim=1).numpy()
        most = max(1, round(_SHARE_OF_SURPRISE * bits.shape[1]))
        self.figures["surprise"][span] = bits.topk(most, dim=1).values.mean(dim=1).numpy()


def _dtype(num_embeddings: int) -> np.dtype:
    return np.min_scalar_type(num_embeddings - 1)
