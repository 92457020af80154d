"""Compare the speed and memory of quantizers with other libraries in one run, as Markdown tables.

    python benchmarks/quantizers.py [--rounds 3] [--n 16384] [--k 512 1024 8192 16384 65536] [--d 8 64] [--threads 1]

The first table shows a training step of the quantizer alone. It consists of the search, the codebook update and the
backward pass for N latents, as grids of 32×32. Every library runs in its own process, one after the other, for `rounds`
rounds. The table gives the fastest median, and the smallest growth of the peak memory of the process.

The second table shows the search alone. All searches run in one process, and take turns. With one thread, it gives the
least time that a turn spent on a core, which other work on the machine changes little. With more (--threads), it gives
the least time on the clock. The searches are compared with the float32 matrix product of the same shape, in the fastest
of several layouts. Only the ratios carry over to another
machine.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

SIDE = 32
MEMORY_LIMIT_GB = 20
"""Memory limit of each library, which protects the machine."""

Step = Callable[[Tensor], Tensor]
"""A function from latents `(b, d, h, w)` to a scalar for the backward pass."""


def ours(k: int, d: int, codebook: str) -> Step:
    from voxlex.quantizers import VectorQuantizer

    quantizer = VectorQuantizer(num_embeddings=k, embedding_dim=d, codebook=codebook).train()

    def step(z_e: Tensor) -> Tensor:
        quantized = quantizer(z_e)
        return quantized.z_q.sum() + quantized.loss

    return step


def vector_quantize_pytorch(k: int, d: int) -> Step:
    from vector_quantize_pytorch import VectorQuantize

    quantizer = VectorQuantize(dim=d, codebook_size=k, decay=0.99, accept_image_fmap=True).train()

    def step(z_e: Tensor) -> Tensor:
        z_q, _, loss = quantizer(z_e)
        return z_q.sum() + loss.sum()

    return step


def monai(k: int, d: int) -> Step:
    from monai.networks.layers.vector_quantizer import EMAQuantizer, VectorQuantizer

    quantizer = VectorQuantizer(EMAQuantizer(spatial_dims=2, num_embeddings=k, embedding_dim=d, decay=0.99)).train()

    def step(z_e: Tensor) -> Tensor:
        loss, z_q = quantizer(z_e)
        return z_q.sum() + loss

    return step


def diffusers(k: int, d: int) -> Step:
    from diffusers.models.autoencoders.vae import VectorQuantizer

    quantizer = VectorQuantizer(k, d, beta=0.25, legacy=False, sane_index_shape=True).train()

    def step(z_e: Tensor) -> Tensor:
        z_q, loss, _ = quantizer(z_e)
        return z_q.sum() + loss

    return step


LIBRARIES: dict[str, Callable[[int, int], Step]] = {
    "voxlex": partial(ours, codebook="ema"),
    "voxlex, learned by loss": partial(ours, codebook="loss"),
    "vector-quantize-pytorch": vector_quantize_pytorch,
    "MONAI": monai,
    "diffusers": diffusers,
}


def measure_step(library: str, n: int, k: int, d: int) -> dict[str, float]:
    """Time training steps in this process, and return median seconds and the growth of the peak memory in MB."""
    limit = MEMORY_LIMIT_GB * 2**30
    torch.manual_seed(0)
    step = LIBRARIES[library](k, d)
    z_e = torch.randn(n // SIDE**2, d, SIDE, SIDE, requires_grad=True)
    torch.mm(torch.randn(256, 256), torch.randn(256, 256))  # starts the threads of the matrix library
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    seconds: list[float] = []
    while len(seconds) < 3 or (sum(seconds) < 2 and len(seconds) < 40):
        started = time.perf_counter()
        step(z_e).backward()
        seconds.append(time.perf_counter() - started)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {"seconds": statistics.median(seconds[1:]), "megabytes": grown / 1024}


def in_own_process(library: str, n: int, k: int, d: int) -> dict[str, float] | None:
    """Measure in a new process, or return None if that fails, and say why."""
    command = [sys.executable, __file__, "--only", library, "--n", str(n), "--k", str(k), "--d", str(d)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:]
        print(f"{library}, K={k}, d={d}: {' '.join(last)}", file=sys.stderr)
        return None
    return json.loads(done.stdout.strip().splitlines()[-1])


def table_of_steps(n: int, ks: list[int], ds: list[int], rounds: int) -> None:
    print("| K | d | " + " | ".join(LIBRARIES) + " |")
    print("|---:|---:|" + "---:|" * len(LIBRARIES))
    for k in ks:
        for d in ds:
            found: dict[str, list[dict[str, float]]] = {library: [] for library in LIBRARIES}
            for _ in range(rounds):
                for library, results in found.items():
                    result = in_own_process(library, n, k, d)
                    results += [] if result is None else [result]
            first = min(result["seconds"] for result in found["voxlex"])
            cells = []
            for results in found.values():
                if not results:
                    cells.append("failed")
                    continue
                seconds = min(result["seconds"] for result in results)
                megabytes = min(result["megabytes"] for result in results)
                cells.append(f"{1000 * seconds:,.0f} ms ({seconds / first:.1f}×), {megabytes:,.0f} MB")
            print(f"| {k:,} | {d} | " + " | ".join(cells) + " |", flush=True)


def searches(vectors: Tensor, codebook: Tensor) -> dict[str, Callable[[], object]]:
    """Return the matrix product alone in several layouts, followed by ways to search."""
    import faiss

    from voxlex.quantizers.search import nearest

    index = faiss.IndexFlatL2(codebook.shape[1])
    index.add(codebook.numpy())
    bias = -0.5 * codebook.square().sum(dim=1)

    rows = max(2**19 // len(codebook), 1)

    def product(codewords_first: bool, rows: int) -> None:
        for tile in vectors.split(rows):
            codebook @ tile.t() if codewords_first else tile @ codebook.t()

    def argmax_of_tiles() -> Tensor:
        return torch.cat([torch.addmm(bias, tile, codebook.t()).argmax(dim=1) for tile in vectors.split(256)])

    return {
        "product, codewords first": partial(product, True, rows),
        "product, vectors first": partial(product, False, rows),
        "product, vectors first, 256": partial(product, False, 256),
        "voxlex": lambda: nearest(vectors, codebook),
        "argmax of tiles": argmax_of_tiles,
        "faiss-cpu": lambda: index.search(vectors.numpy(), 1),
    }


def table_of_searches(n: int, ks: list[int], ds: list[int], rounds: int, threads: int) -> None:
    import faiss

    torch.set_num_threads(threads)
    faiss.omp_set_num_threads(threads)
    clock = time.thread_time if threads == 1 else time.perf_counter
    print("| K | d | float32 product | voxlex | product and argmax in tiles | faiss-cpu |")
    print("|---:|---:|---:|---:|---:|---:|")
    for k in ks:
        for d in ds:
            torch.manual_seed(0)
            ways = searches(torch.randn(n, d), torch.randn(k, d))
            seconds: dict[str, list[float]] = {name: [] for name in ways}
            for turn in range(3 * rounds + 1):
                for name, search in ways.items():
                    started = clock()
                    search()
                    seconds[name] += [clock() - started] if turn else []
            fastest = {name: min(taken) for name, taken in seconds.items()}
            products = [fastest.pop(name) for name in list(fastest) if name.startswith("product, ")]
            first = min(products)
            cells = [f"{1000 * taken:,.1f} ms ({taken / first:.2f}×)" for taken in (first, *fastest.values())]
            print(f"| {k:,} | {d} | " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--n", type=int, default=16384, help="number of latents; a multiple of 1,024 for steps")
    parser.add_argument("--k", type=int, nargs="+", default=[512, 1024, 8192, 16384, 65536])
    parser.add_argument("--d", type=int, nargs="+", default=[8, 64])
    parser.add_argument("--only", choices=LIBRARIES, help="measure the step of one library in this process")
    parser.add_argument("--threads", type=int, default=1, help="threads of the searches")
    parser.add_argument("--table", choices=["steps", "searches", "both"], default="both")
    options = parser.parse_args()
    if options.only:
        print(json.dumps(measure_step(options.only, options.n, options.k[0], options.d[0])))
        return
    threads = torch.get_num_threads()
    print(f"N = {options.n:,}, torch {torch.__version__}; steps in {threads} threads, searches in {options.threads}\n")
    if options.table != "searches":
        table_of_steps(options.n, options.k, options.d, options.rounds)
        print()
    if options.table != "steps":
        table_of_searches(options.n, options.k, options.d, options.rounds, options.threads)


if __name__ == "__main__":
    main()
