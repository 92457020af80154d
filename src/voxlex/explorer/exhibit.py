"""What the explorer shows: a run and a source, which are opened beside the page, and opened anew when they change."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from voxlex.codes import for_each_level, levels_of
from voxlex.data.cache import entries
from voxlex.data.dataset import PreparedDataset
from voxlex.data.phantoms.phantom import PhantomSource
from voxlex.errors import DataError, RunError, VoxlexError
from voxlex.explorer.caches import Kept
from voxlex.explorer.drawing import Neighbours
from voxlex.explorer.lanes import Jobs, Lane
from voxlex.explorer.survey import MOST_BYTES, Survey
from voxlex.explorer.words import WordMap
from voxlex.names import printable, resolved
from voxlex.progress import Progress
from voxlex.run_folder import RunFolder
from voxlex.types import Levels
from voxlex.vocabulary import Vocabulary, load
from voxlex.workflows.opening import frame_of, open_for, skipped_lines

_QUICK, _LONG = 64, 16  # requests that may wait
_CODES_KEPT = 256
_MAPS_KEPT = 8


class UnknownError(VoxlexError):
    """Something that was asked for is not there."""


@dataclass
class Opening:
    """How far the opening of the run and the source is.

    Attributes:
        phase: What is being done; empty when everything is open.
        done: Work of the phase that is done.
        total: Total work of the phase; 0 if it is not known.
        problems: What could not be opened, in words, by part: "run" or "source".
    """

    phase: str = ""
    done: int = 0
    total: int = 0
    problems: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def __call__(self, phase: str) -> Iterator[Progress]:
        """Show a phase while it lasts, as workflows report phases."""
        self.phase, self.done, self.total = phase, 0, 0

        def show(done: int, total: int) -> None:
            self.done, self.total = done, total

        try:
            yield show
        finally:
            self.phase = ""


class Exhibit:
    """A run and a source, with the queues for work on them.

    Args:
        run: The run folder. It may be one that still trains.
        source: The source; None for the images that the run was trained on, if they are the phantom or in the cache.
        beside: The folder of another run, which is shown beside this one on the same scans.
        host: The exhibit whose scans and queues this one takes, because it is shown beside it.

    Attributes:
        beside: The exhibit of the other run; None if there is none. It has its own codes, figures and version.

    Raises:
        RunError: If a folder is not a run, or the other run takes other images.
    """

    def __init__(
        self, run: Path, source: str | None = None, *, beside: Path | None = None, host: "Exhibit | None" = None
    ) -> None:
        self.folder = RunFolder.open(run)
        if beside is not None:
            check_beside(self.folder, RunFolder.open(beside))
        self.place = source
        self.name = printable(resolved(run).name)
        self.opening = Opening()
        self.vocabulary: Vocabulary | None = None
        self.dataset: PreparedDataset | None = None
        self.survey: Survey | None = None
        self._host = host
        self.quick: Lane = Lane("voxlex-quick", at_most=_QUICK) if host is None else host.quick
        self.long: Lane = Lane("voxlex-long", at_most=_LONG) if host is None else host.long
        self.jobs: Jobs = Jobs(self.long) if host is None else host.jobs
        self._codes_kept: Kept[int, Levels] = Kept(_CODES_KEPT)
        self.mapping = threading.Lock()
        self.maps: Kept[object, WordMap] = Kept(_MAPS_KEPT)
        self.neighbours: Neighbours | None = None
        self.version = 0
        self._stamp: object = None
        self._lock = threading.Lock()
        self._opener: threading.Thread | None = None
        self.beside: Exhibit | None = None
        if beside is not None:
            self.beside = Exhibit(beside, host=self)
            if self.beside.name == self.name:
                self.name, self.beside.name = (printable("/".join(resolved(one).parts[-2:])) for one in (run, beside))

    def refresh(self) -> None:
        """Open the run and the source, beside other work, if they are not open or the run has changed."""
        with self._lock:
            stamp = self._weights()
            if stamp != self._stamp and (self._opener is None or not self._opener.is_alive()):
                self._stamp = stamp
                self._opener = threading.Thread(target=self._open, name="voxlex-opening", daemon=True)
                self._opener.start()
        if self.beside is not None:
            self.beside.refresh()

    def wait(self) -> None:
        """Wait until everything is open."""
        if self._opener is not None:
            self._opener.join()
        if self.beside is not None:
            self.beside.wait()

    def close(self) -> None:
        """End all work."""
        if self.beside is not None and self.beside.survey is not None:
            self.beside.survey.stop()
        if self.survey is not None:
            self.survey.stop()
        for job in self.jobs.all():
            self.jobs.cancel(job.number)
        self.quick.close()
        self.long.close()

    def loaded(self) -> Vocabulary:
        """Return the vocabulary.

        Raises:
            RunError: If the run has no trained autoencoder, or cannot be loaded.
        """
        if self.vocabulary is None:
            raise RunError(self.opening.problems.get("run", "the run is still being opened"))
        return self.vocabulary

    def images(self) -> PreparedDataset:
        """Return the images of the source.

        Raises:
            DataError: If there is no source, or it cannot be opened.
        """
        if self.dataset is None:
            raise DataError(self.opening.problems.get("source", "the scans are still being opened"))
        return self.dataset

    def surveyed(self) -> Survey:
        """Return the survey of the scans.

        Raises:
            VoxlexError: If the run or the source is not open.
        """
        self.loaded(), self.images()
        if self.survey is None:
            raise DataError("the scans are still being opened")
        return self.survey

    def row(self, text: str) -> int:
        """Return the number of a scan.

        Raises:
            UnknownError: If there is no such scan.
        """
        images = self.images()
        if not text.isascii() or not text.isdecimal() or len(text) > 12 or int(text) >= len(images):
            raise UnknownError(f"expected a scan from 0 to {len(images) - 1}, got {printable(text)[:40]!r}")
        return int(text)

    def codes_of(self, row: int) -> Levels:
        """Return the codes of a scan, coarsest level first, each `(1, q, *grid)`. The quick queue calls this."""
        known = None if self.survey is None else self.survey.codes_of(row)
        if known is not None:
            return known
        kept = self._codes_kept  # before the vocabulary, so that no codes of an older one are kept for a newer one
        found = kept.get(row)
        if found is None:
            encoded = self.loaded().encode(self.images().tensor([row]))
            found = levels_of(for_each_level(Tensor.cpu, encoded))
            kept.put(row, found)
        return found

    def _weights(self) -> object:
        """Return what changes when the weights of the run do."""
        found: list[object] = []
        for file in (self.folder.autoencoder_file, self.folder.texture_file, self.folder.prior_file):
            try:
                facts = file.stat()
            except OSError:
                found.append(None)
            else:
                found.append((facts.st_mtime_ns, facts.st_size))
        return found

    def _open(self) -> None:
        if self.survey is not None:
            self.survey.stop()
        self.opening.problems = {}
        with self.opening("loading the run"):
            vocabulary = self._try("run", self._load)
        # Codes of the vocabulary before mean something else to this one.
        self.survey, self.vocabulary = None, vocabulary
        self._codes_kept = Kept(_CODES_KEPT)
        if self.dataset is None:
            self.dataset = self._try("source", self._images)
        if self.vocabulary is not None and self.dataset is not None:
            share = 1 if self._host is None and self.beside is None else 2
            self.survey = Survey(self.vocabulary, self.dataset, idle_s=self._idle_s, most_bytes=MOST_BYTES // share)
            self.survey.start()
        self.version = time.time_ns()

    def _idle_s(self) -> float:
        """Return for how long there is nothing better to do than to survey scans; those of the first run come first."""
        first = None if self._host is None else self._host.survey
        return self.quick.idle_s if first is None or first.is_over else 0.0

    def _try(self, part: str, work: Any) -> Any:
        try:
            return work()
        except Exception as error:
            self.opening.problems[part] = printable(" ".join(str(error).split())) or type(error).__name__
            return None

    def _load(self) -> Vocabulary:
        if not self.folder.autoencoder_file.exists():
            raise RunError("the autoencoder is not trained yet; what needs it appears here when it is")
        return load(self.folder.path)

    def _images(self) -> PreparedDataset:
        if self._host is not None:
            if self._host._opener is not None:
                self._host._opener.join()
            return self._host.images()
        config, data = self.folder.config(), self.folder.metadata().get("data", {})
        if self.place is not None:
            return open_for(config, self.place, phases=self.opening)
        if data.get("name") == PhantomSource.name:
            return open_for(config, PhantomSource.name, phases=self.opening)
        with self.opening("looking for the scans"):
            found = _cached(data)
        if found is None:
            raise DataError(
                "the scans of this run are not in the cache; name them: voxlex explore RUN SOURCE, "
                "with the folder, table or prepared set that the run was trained on, or other scans"
            )
        return found

    def notes(self) -> list[str]:
        """Return sentences about the scans that a reader should know."""
        if self.dataset is None:
            return []
        return [*self.dataset.notes, *skipped_lines(self.dataset)]


def check_beside(first: RunFolder, other: RunFolder) -> None:
    """Refuse to show a run beside another one if they take different images.

    Raises:
        RunError: If the size of the images differs, or the number of their axes.
    """
    shapes = [frame_of(folder.config()).shape for folder in (first, other)]
    if shapes[0] != shapes[1]:
        wanted, got = ("×".join(map(str, shape)) for shape in shapes)
        raise RunError(
            f"--beside: expected a run of images of {wanted}, as {printable(str(first.path))} takes them, "
            f"got {printable(str(other.path))}, which takes {got}"
        )


def _cached(data: Mapping[str, Any]) -> PreparedDataset | None:
    """Return the prepared set in the cache that a run was trained on; None if there is none."""
    for entry in entries():
        if entry.name != data.get("name"):
            continue
        try:
            dataset = PreparedDataset.open(entry.folder)
        except DataError:
            continue
        if dataset.fingerprint == data.get("fingerprint"):
            return dataset
    return None


def as_uint16(image: Tensor) -> bytes:
    """Return an image in [0, 1] as little-endian 16-bit numbers, 65535 for 1."""
    scaled = image.detach().float().clamp(0, 1).mul(65535).round().cpu().numpy()
    return scaled.astype(np.dtype("<u2")).tobytes()
