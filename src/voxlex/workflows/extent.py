"""How many images a source has in each split: counted, or estimated from a few scans before it is prepared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from voxlex.config import Config, StageConfig
from voxlex.data.dataset import PreparedDataset, Skip, is_prepared
from voxlex.data.division import SPLITS, split_or_test
from voxlex.data.phantoms.phantom import PhantomSource
from voxlex.data.scan_source import ScanSource
from voxlex.data.sources import Source, place_in_cache
from voxlex.errors import ConfigError, DataError
from voxlex.images.frame import Frame
from voxlex.training.batch_size import number_of
from voxlex.workflows.judge import can_judge
from voxlex.workflows.plan import Plan

_SIDE_OF_JUDGED = 11  # pixels: the window of the similarity by which samples are judged
_JUDGED = 128  # samples
_MARGIN = 2  # volumes that are not opened may have so many times as many slices
_OPENED = 4  # scans
_MOST_UNREADABLE = 0.5  # share of them that still leaves the judgement to preparing, which reads all


@dataclass(frozen=True, kw_only=True)
class Extent:
    """The number of images in each split, and what is known beside.

    Attributes:
        name: Name of the source.
        per_split: Number of images in each of `SPLITS`.
        groups: Number of groups of which each lies in one split: subjects, and near-duplicates if they are known.
        pixel_bytes: Bytes of a pixel.
        counted: Whether the images are prepared and were counted; otherwise the numbers are estimates.
        opened: Number of scans that were opened for the estimate.
        unreadable: Those of them that cannot be used, with the reasons.
    """

    name: str
    per_split: Mapping[str, int]
    groups: int
    pixel_bytes: int = 1
    counted: bool = True
    opened: int = 0
    unreadable: tuple[Skip, ...] = ()

    @property
    def train(self) -> int:
        """Number of images to train on."""
        return self.per_split["train"]

    @property
    def images(self) -> int:
        """Number of all images."""
        return sum(self.per_split.values())

    def nbytes(self, frame: Frame) -> int:
        """Return the size of all images, in bytes."""
        return self.images * prod(frame.shape) * self.pixel_bytes


def prepared_already(source: Source, frame: Frame, *, seed: int) -> PreparedDataset | None:
    """Return the images of a source if they are prepared, there or in the cache; None otherwise.

    Raises:
        DataError: If they were prepared with another frame, or are damaged.
    """
    dataset = source.ready(frame)
    if dataset is None and is_prepared(folder := place_in_cache(source, frame, seed=seed)):
        try:
            return PreparedDataset.open(folder)
        except DataError:  # what is damaged in the cache is made anew
            return None
    return dataset


def extent_of(dataset: PreparedDataset) -> Extent:
    """Count the images of a prepared data set."""
    counts = {split: int((dataset.manifest["split"] == split).sum()) for split in SPLITS}
    groups = dataset.manifest["group"].nunique()
    return Extent(name=dataset.name, groups=groups, pixel_bytes=dataset.images.itemsize, per_split=counts)


def estimate_extent(source: Source, frame: Frame, *, seed: int) -> Extent | None:
    """Estimate how many images a source has in each split, by opening a few of its scans.

    Near-duplicates are known only when all images are, so they count as different images here.

    Returns:
        The estimate; None for a kind of source that does not tell.

    Raises:
        DataError: If most of the opened scans cannot be read, or they are all scans and none can be used.
    """
    if isinstance(source, PhantomSource):
        per_subject = source.options.slices if frame.spatial_dims == 2 else 1
        groups = [f"{subject:09d}" for subject in range(source.options.subjects)]
        return Extent(
            name=source.name, groups=len(groups), counted=False, per_split=_per_split(groups, per_subject, seed=seed)
        )
    if not isinstance(source, ScanSource):
        return None
    outcomes = source.sample(frame, at_most=_OPENED)
    fitted = [outcome for outcome in outcomes if not isinstance(outcome, Skip)]
    bad = tuple(outcome for outcome in outcomes if isinstance(outcome, Skip) and not outcome.constant)
    if len(bad) > _MOST_UNREADABLE * len(outcomes):
        reasons = "; ".join(f"{skip.path}: {skip.reason}" for skip in bad)
        raise DataError(
            f"{source.index.root}: expected readable images, got {len(bad)} unreadable of {len(outcomes)} that were "
            f"opened: {reasons}"
        )
    table = source.index.table
    if not fitted and len(outcomes) == len(table):
        reasons = "; ".join(f"{skip.path}: {skip.reason}" for skip in outcomes if isinstance(skip, Skip))
        raise DataError(f"{source.index.root}: expected usable images, got none: {reasons}")
    groups, splits = list(table["group"]), list(table["split"]) if "split" in table else None
    per_scan = sum(len(one.images) for one in fitted) / len(fitted) if fitted else 1.0
    return Extent(
        name=source.name,
        groups=len(set(groups)),
        pixel_bytes=max((image.itemsize for one in fitted for image in one.images), default=1),
        counted=False,
        opened=len(outcomes),
        unreadable=bad,
        per_split=_per_split(groups, per_scan, seed=seed, splits=splits),
    )


def check_extent(config: Config, extent: Extent, plan: Plan, *, processes: int = 1) -> None:
    """Check that each split has images, and that those to train on fill a step of each stage.

    Of an estimate, only what is certain is refused.

    Args:
        config: The experiment.
        extent: How many images there are.
        plan: What is trained.
        processes: Number of processes that train.

    Raises:
        ConfigError: If there are too few images for a setting.
        DataError: If a split has no images.
    """
    empty = [split for split, count in extent.per_split.items() if not count]
    if empty and (extent.counted or extent.groups < len(SPLITS)):
        raise DataError(
            f"{extent.name}: expected images in each split, got {extent.images} images of {extent.groups} groups, with "
            f"none for {' and '.join(empty)}; images of a subject and near-duplicates are one group, and at "
            f"least {len(SPLITS)} groups are needed: add images, or try a larger data.size"
        )
    rows, what = (extent.train, "training images") if extent.counted else (extent.images, "images")
    training = config.training
    stages: list[tuple[str, float, StageConfig, int]] = [
        ("autoencoder", plan.autoencoder_share, training.autoencoder, 1),
        ("texture", plan.texture_share, training.texture, 1),
        ("prior", plan.prior_share, training.prior, 1 + training.prior.variations),
    ]
    for name, share, stage, versions in stages:
        most = rows * versions // (processes * stage.accumulate)
        if share and number_of(stage) > (most if extent.counted else _MARGIN * most):
            raise ConfigError(
                f"training.{name}.batch_size: expected at most {most}, as there are {rows} {what}"
                + (f" for {processes} devices" if processes > 1 else "")
                + (f" and {stage.accumulate} batches in a step" if stage.accumulate > 1 else "")
                + f", got {number_of(stage)}"
            )
    if (
        plan.prior_share
        and config.data.size < _SIDE_OF_JUDGED
        and can_judge(samples=_JUDGED, held_out=extent.per_split["test"])
    ):
        raise ConfigError(
            f"data.size: expected at least {_SIDE_OF_JUDGED}, as samples are compared with real images, got "
            f"{config.data.size}"
        )


def _per_split(
    groups: Sequence[str], per_scan: float, *, seed: int, splits: Sequence[str] | None = None
) -> dict[str, int]:
    given = list(split_or_test(groups, seed=seed) if splits is None else splits)
    return {split: round(per_scan * given.count(split)) for split in SPLITS}
