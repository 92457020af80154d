"""Compare the features that judge images, by sets of images whose faults are known.

    python benchmarks/judges.py SOURCE [--images 160] [--runs RUN ...]

Held-out images are divided into two halves by groups. The images of one half are spoiled in known ways: blurred, with
noise, compressed, pieced together from a codebook of patches, warped, composed of two heads, shuffled, or only a few
of them again and again. Each spoiled set, and the reconstructions and samples of each run, is compared with the other
half by features without weights and by a network. The last lines show how alike they rank the sets.
"""

import argparse
from collections.abc import Callable
from io import BytesIO
from time import process_time

import numpy as np
import pandas as pd
import torch
from PIL import Image as Picture
from scipy.ndimage import gaussian_filter
from scipy.stats import spearmanr
from sklearn.cluster import MiniBatchKMeans
from torch import Tensor
from torch.nn import functional

import voxlex
from voxlex.data.dataset import PreparedDataset
from voxlex.evaluation.generation import Features, load_features
from voxlex.evaluation.generation.features import describe
from voxlex.evaluation.generation.frechet import frechet_distance
from voxlex.evaluation.generation.neighbours import overlap
from voxlex.evaluation.generation.two_sample import told_apart

FIGURES = ["c2st", "precision", "coverage", "frechet"]


def gradient_statistics(images: Tensor) -> Tensor:
    """Simpler features to compare with: brightness in 4×4 cells, and edges at four scales in 2×2 cells."""
    smooth, slope, bend = (torch.tensor(taps) for taps in ([0.25, 0.5, 0.25], [-0.5, 0, 0.5], [0.5, -1, 0.5]))
    across, down = torch.outer(smooth, slope), torch.outer(slope, smooth)
    spot = torch.outer(smooth, bend) + torch.outer(bend, smooth)
    filters = torch.stack([across, down, (across + down) / 2**0.5, (across - down) / 2**0.5, spot])[:, None]
    found = [functional.adaptive_avg_pool2d(images, 4)]
    for _ in range(4):
        edges = functional.conv2d(functional.pad(images, (1, 1, 1, 1), mode="replicate"), filters)
        found.append(functional.adaptive_avg_pool2d(edges.abs(), 2) * 4)
        images = functional.avg_pool2d(images, 2)
    return torch.cat([values.flatten(1) for values in found], dim=1)


def draws(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def blurred(x: Tensor, sigma: float) -> Tensor:
    return torch.from_numpy(gaussian_filter(x.numpy(), (0, 0, sigma, sigma), mode="nearest"))


def noisy(x: Tensor, strength: float) -> Tensor:
    return (x + strength * torch.randn(x.shape, generator=draws(1))).clamp(0, 1)


def with_noise_for_detail(x: Tensor, sigma: float) -> Tensor:
    """Replace detail by noise of the same local energy."""
    coarse = blurred(x, sigma)
    energy = blurred((x - coarse).square(), 3).clamp_min(0).sqrt()
    noise = torch.randn(x.shape, generator=draws(2))
    noise = noise - blurred(noise, sigma)
    return (coarse + energy * noise / noise.std()).clamp(0, 1)


def compressed(x: Tensor, quality: int) -> Tensor:
    found = []
    for image in x[:, 0]:
        file = BytesIO()
        Picture.fromarray((image * 255).round().byte().numpy()).save(file, "JPEG", quality=quality)
        found.append(np.array(Picture.open(file)))
    return torch.from_numpy(np.stack(found)).float()[:, None] / 255


def from_codebook(x: Tensor, training: Tensor, *, side: int, codewords: int) -> Tensor:
    """Replace each patch by the nearest of some codewords, which k-means finds among training patches."""
    patches = functional.unfold(training, side, stride=side).mT.flatten(0, 1)
    some = patches[torch.randperm(len(patches), generator=draws(0))[:20_000]].numpy()
    means = MiniBatchKMeans(codewords, random_state=0, n_init=1, batch_size=2048, max_iter=30).fit(some)
    codes = means.predict(functional.unfold(x, side, stride=side).mT.flatten(0, 1).numpy())
    chosen = torch.from_numpy(means.cluster_centers_[codes]).float().view(len(x), -1, side * side)
    return functional.fold(chosen.mT, x.shape[2:], side, stride=side)


def warped(x: Tensor, pixels: float) -> Tensor:
    field = torch.randn(len(x), 2, 6, 6, generator=draws(3))
    field = functional.interpolate(field, size=x.shape[2:], mode="bicubic", align_corners=True).movedim(1, -1)
    still = functional.affine_grid(torch.eye(2, 3).expand(len(x), 2, 3), list(x.shape), align_corners=False)
    moved = still + field * pixels * 2 / x.shape[-1]
    return functional.grid_sample(x, moved, padding_mode="border", align_corners=False).clamp(0, 1)


def partners(x: Tensor, *, alike: bool) -> Tensor:
    """Return another image for each: any, or the fifth most alike."""
    if not alike:
        return x[torch.randperm(len(x), generator=draws(4))]
    thumbnails = functional.avg_pool2d(x, 8).flatten(1)
    return x[torch.cdist(thumbnails, thumbnails).argsort(dim=1)[:, 5]]


def halves(x: Tensor, *, alike: bool) -> Tensor:
    """Compose the left half of one head and the right half of another."""
    right = torch.sigmoid((torch.arange(x.shape[-1]) - x.shape[-1] / 2 + 0.5) / 1.5)
    return x.lerp(partners(x, alike=alike), right.expand(x.shape))


def foreign_inside(x: Tensor, *, alike: bool) -> Tensor:
    """Paste the inside of one head into another."""
    along = torch.linspace(-1, 1, x.shape[-1])
    inside = torch.sigmoid((0.45 - torch.hypot(along[:, None], along)) / 0.03)
    return x.lerp(partners(x, alike=alike), inside.expand(x.shape))


def shuffled(x: Tensor, *, patch: int, block: int) -> Tensor:
    """Put the patches of each block in random order."""
    n, c, h, w = x.shape
    k = block // patch
    blocks = x.view(n, c, h // block, k, patch, w // block, k, patch).permute(0, 2, 5, 3, 6, 1, 4, 7)
    flat = blocks.reshape(-1, k * k, c, patch, patch)
    order = torch.rand(flat.shape[:2], generator=draws(5)).argsort(dim=1)
    mixed = flat.gather(1, order[..., None, None, None].expand(flat.shape)).view(blocks.shape)
    return mixed.permute(0, 5, 1, 3, 6, 2, 4, 7).reshape(x.shape)


def few(x: Tensor, count: int) -> Tensor:
    """Show a few images again and again, a little warped and with a little noise."""
    return noisy(warped(x[torch.arange(len(x)) % count], 0.5), 0.005)


def spoiled(x: Tensor, training: Tensor) -> dict[str, Callable[[], Tensor]]:
    blocky = functional.interpolate(functional.avg_pool2d(x, 8), scale_factor=8.0)
    return {
        "real": lambda: x,
        **{f"blur σ = {s}": lambda s=s: blurred(x, s) for s in (0.4, 0.8, 1.2, 2.0)},
        **{f"noise {s}": lambda s=s: noisy(x, s) for s in (0.01, 0.05)},
        "noise for detail": lambda: with_noise_for_detail(x, 0.8),
        **{f"JPEG {q}": lambda q=q: compressed(x, q) for q in (60, 10)},
        "codebook 4×4, K = 1024": lambda: from_codebook(x, training, side=4, codewords=1024),
        "codebook 8×8, K = 128": lambda: from_codebook(x, training, side=8, codewords=128),
        "30 % blocks of 8": lambda: x.lerp(blocky, 0.3),
        **{f"warped by {p} pixels": lambda p=p: warped(x, p) for p in (1, 4, 8)},
        **{f"two halves, {a}": lambda a=a: halves(x, alike=a == "alike") for a in ("alike", "any")},
        **{f"foreign inside, {a}": lambda a=a: foreign_inside(x, alike=a == "alike") for a in ("alike", "any")},
        "shuffled in 8×8": lambda: shuffled(x, patch=4, block=8),
        "8 images": lambda: few(x, 8),
    }


def figures(x: Tensor, y: Tensor) -> list[float]:
    overlapping = overlap(x, y).figures
    alone = torch.arange(2 * len(x))
    right = told_apart(x, y, x_groups=alone[: len(x)], y_groups=alone[len(x) :], seed=0)
    assert right is not None
    accuracy = float(torch.cat(right).double().mean())
    return [accuracy, overlapping["precision"], overlapping["coverage"], frechet_distance(x, y)]


def divided(dataset: PreparedDataset, images: int) -> tuple[Tensor, Tensor]:
    """Return two sets of held-out images without a common group."""
    held_out = dataset.manifest[dataset.manifest["split"].isin(["test", "validation"])]
    order = np.random.default_rng(0)
    place = {group: number for number, group in enumerate(order.permutation(held_out["group"].unique()))}
    rows = held_out.index.to_numpy()[np.argsort([place[group] for group in held_out["group"]], kind="stable")]
    first, second = (order.permutation(half)[:images] for half in np.array_split(rows, 2))
    return dataset.tensor(first), dataset.tensor(second)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("--images", type=int, default=160)
    parser.add_argument("--runs", nargs="*", default=[])
    options = parser.parse_args()
    dataset = voxlex.open_source(options.source, voxlex.Frame(size=128))
    reference, images = divided(dataset, options.images)
    training = dataset.subset("train")
    some = training.tensor(np.random.default_rng(0).permutation(len(training))[:400])
    sets = spoiled(images, some)
    for run in options.runs:
        vocabulary = voxlex.load(run)
        sets[f"{run}, reconstructed"] = lambda v=vocabulary: torch.cat(
            [v.decode(v.encode(b)) for b in images.split(32)]
        )
        sets[f"{run}, sampled"] = lambda v=vocabulary: v.sample(len(images), seed=0)
    judges: dict[str, Features] = {"gradients": gradient_statistics}
    judges |= {name: load_features(name) for name in ("default", "deep")}
    real = {name: describe(reference, judge) for name, judge in judges.items()}
    rows, seconds = {}, dict.fromkeys(judges, 0.0)
    for kind, make in sets.items():
        spoilt = (make() * 255).round() / 255
        for name, judge in judges.items():
            start = process_time()
            described = describe(spoilt, judge)
            seconds[name] += process_time() - start
            rows[kind, name] = dict(zip(FIGURES, figures(described, real[name]), strict=True))
        print(
            kind, *[f"{name} {' '.join(f'{v:.3g}' for v in rows[kind, name].values())}" for name in judges], flush=True
        )
    table = pd.DataFrame(rows).T.unstack()
    print(table.loc[list(sets)].to_string(float_format="{:.3g}".format))
    for name in judges:
        ranks = [f"{f} {spearmanr(table[f, name], table[f, 'deep']).statistic:.2f}" for f in FIGURES]
        print(f"{name}: {seconds[name] / len(sets) / len(images):.4f} s an image; ranks as deep: {', '.join(ranks)}")


if __name__ == "__main__":
    main()
