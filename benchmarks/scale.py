"""Measure what a scan costs in each command, how that divides among workers, and what large collections take.

    python benchmarks/scale.py costs.json --measure           # unit costs, in this process; about five minutes
    python benchmarks/scale.py costs.json --workers 1 2 4     # the same work on Ray; adds the cost of sending an item
    python benchmarks/scale.py costs.json --model --cores 64  # 100,000 volumes and ten million slices

A unit cost has two parts: what workers do, which divides among them, and what the process that gave the command does
alone, which reads what is sent and writes what comes back. The model is the larger of both, so it says which of them
is the bottleneck. Both are processor time of one thread (set OMP_NUM_THREADS=1), which other work on the machine hardly
changes; only the second command measures wall-clock time and needs a quiet machine. Scans are those of the phantom, and
the vocabulary is the one that comes with the package.
"""

import argparse
import json
import math
import pickle
import tempfile
import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from voxlex.config.options import PhantomOptions
from voxlex.data.dataset import PreparedDataset
from voxlex.data.phantoms.phantom import PhantomSource
from voxlex.data.sources import find_source
from voxlex.images.frame import Frame
from voxlex.vocabulary import Vocabulary, load
from voxlex.workers import Workers, workers_at
from voxlex.workflows.encode import encode
from voxlex.workflows.evaluate import evaluate
from voxlex.workflows.originals import Originals
from voxlex.workflows.pack import pack
from voxlex.workflows.reconstruct import reconstruct
from voxlex.workflows.sample import sample

RUN = "brain-mri-128"
COLLECTIONS = {"slices": 10_000_000, "volumes": 100_000}
NIGHT_HOURS = 10


@dataclass(frozen=True)
class Cost:
    """What a scan costs.

    Attributes:
        command: The command.
        kind: "slices" or "volumes".
        scans: Scans that were measured.
        worker_s: Seconds of a worker.
        alone_s: Seconds of the process that gives out work.
        items: Items that are sent.
        sent_bytes: Bytes of items and results.
        written_bytes: Bytes of what is written.
    """

    command: str
    kind: str
    scans: int
    worker_s: float
    alone_s: float
    items: float
    sent_bytes: float
    written_bytes: float


class Timed:
    """Does work in this process, and notes the time that workers would need, and the bytes that would be sent."""

    def __init__(self) -> None:
        self.seconds = self.aside = 0.0
        self.items = self.bytes = 0

    def map(self, function: Callable[[Any], Any], items: Iterable[Any], **_: Any) -> Generator[Any]:
        """Yield the result for each item."""
        for item in items:
            start = time.process_time()
            result = function(item)
            done = time.process_time()
            self.bytes += len(pickle.dumps(item)) + len(pickle.dumps(result))
            self.items += 1
            self.seconds += done - start
            self.aside += time.process_time() - done
            yield result


@dataclass(frozen=True)
class Bench:
    """Scans, and all that is done with them.

    Attributes:
        kind: "slices" or "volumes".
        source: Folder of the scans.
        scans: Their number.
        frame: How they become images.
        vocabulary: The vocabulary.
        samples: Number of images to draw.
    """

    kind: str
    source: Path
    scans: int
    frame: Frame
    vocabulary: Vocabulary
    samples: int

    def commands(self, out: Path, dataset: PreparedDataset) -> dict[str, tuple[int, Callable[[Workers], Any]]]:
        """Return how many scans each command gets, and the command, which writes into a folder."""
        source, vocabulary = find_source(str(self.source)), self.vocabulary
        run = Path(RUN)
        originals = Originals.of(source, vocabulary.config.data.reading)
        whole: dict[str, tuple[int, Callable[[Workers], Any]]] = {
            "prepare": (self.scans, lambda workers: source.prepare(out / "set", self.frame, workers=workers)),
            "encode": (self.scans, lambda workers: encode(vocabulary, dataset, out=out / "c.parquet", workers=workers)),
            "reconstruct": (
                self.scans,
                lambda workers: reconstruct(vocabulary, dataset, out=out / "r", workers=workers),
            ),
            "pack": (self.scans, lambda workers: pack(run, vocabulary, dataset, out=out / "a.vxl", workers=workers)),
            "pack --lossless": (
                self.scans,
                lambda workers: pack(run, vocabulary, dataset, out=out / "l.vxl", originals=originals, workers=workers),
            ),
        }
        if self.kind == "slices":
            whole["evaluate"] = (
                self.scans,
                lambda workers: evaluate(vocabulary, dataset, split="all", samples=0, workers=workers),
            )
            whole["sample"] = (
                self.samples,
                lambda workers: sample(vocabulary, count=self.samples, out=out / "s", workers=workers),
            )
        return whole


def benches(place: Path, arguments: argparse.Namespace) -> list[Bench]:
    """Write slices and heads of the phantom as files."""
    vocabulary = load(RUN)
    size = vocabulary.config.data.size
    slices, volumes = place / "slices", place / "volumes"
    options = PhantomOptions(subjects=math.ceil(arguments.slices / 16), slices=16)
    pictures = PhantomSource(options).write(slices, Frame(size=224))
    made = [Bench("slices", slices, len(pictures), Frame(size=size), vocabulary, arguments.samples)]
    if arguments.volumes:
        cubes = PhantomSource(PhantomOptions(subjects=arguments.volumes))
        heads = cubes.write(volumes, Frame(size=192, spacing_mm=1.0))
        made.append(Bench("volumes", volumes, len(heads), Frame(size=size, whole=True), vocabulary, 0))
    return made


def bytes_below(place: Path) -> int:
    return sum(path.stat().st_size for path in place.rglob("*") if path.is_file())


def measure(bench: Bench) -> list[Cost]:
    """Run every command in this process."""
    costs = []
    with tempfile.TemporaryDirectory() as scratch:
        dataset = find_source(str(bench.source)).prepare(Path(scratch) / "set", bench.frame)
        for command in bench.commands(Path(scratch), dataset):
            with tempfile.TemporaryDirectory() as out:
                scans, work = bench.commands(Path(out), dataset)[command]
                workers, start = Timed(), time.process_time()
                work(workers)
                alone = time.process_time() - start - workers.seconds - workers.aside
                totals = (workers.seconds, alone, workers.items, workers.bytes, bytes_below(Path(out)))
                costs.append(Cost(command, bench.kind, scans, *(total / scans for total in totals)))
    return costs


def scale(bench: Bench, counts: list[int]) -> dict[str, list[float]]:
    """Run every command on Ray; return scans a second for each number of workers."""
    rates: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        dataset = find_source(str(bench.source)).prepare(Path(scratch) / "set", bench.frame)
        for count in counts:
            with workers_at("local", count=count) as workers:
                list(workers.map(_imported, range(8 * count)))  # a worker takes seconds to start
                for command in bench.commands(Path(scratch), dataset):
                    with tempfile.TemporaryDirectory() as out:
                        scans, work = bench.commands(Path(out), dataset)[command]
                        start = time.perf_counter()
                        work(workers)
                        rates.setdefault(command, []).append(scans / (time.perf_counter() - start))
    return rates


def _imported(_: int) -> None:
    import voxlex.workflows.pack  # noqa: F401


def sending_s() -> float:
    """Return the seconds that this process needs to give out an item and take its result."""
    with workers_at("local", count=1) as workers:
        item = torch.zeros(32, 128, 128, dtype=torch.uint8).numpy()
        list(workers.map(abs, [item] * 8))
        start = time.process_time()
        list(workers.map(abs, [item] * 300))
        return (time.process_time() - start) / 300


def show_costs(costs: list[Cost]) -> None:
    print("| command | scans | scans a second | worker, ms a scan | alone, ms a scan | sent, bytes | written, bytes |")
    print("|---|---|---:|---:|---:|---:|---:|")
    for cost in costs:
        rate = 1 / (cost.worker_s + cost.alone_s)
        parts = f"{1000 * cost.worker_s:,.2f} | {1000 * cost.alone_s:,.2f}"
        size = f"{cost.sent_bytes:,.0f} | {cost.written_bytes:,.0f}"
        print(f"| `{cost.command}` | {cost.scans} {cost.kind} | {rate:,.3g} | {parts} | {size} |")


def show_model(costs: list[Cost], *, sending: float, cores: int) -> None:
    """Print what each command takes for each collection: of one machine, and for one night."""
    print(
        f"| command | scans | hours, one machine of {cores} cores | machines for {NIGHT_HOURS} h, commands | written |"
    )
    print("|---|---|---:|---:|---:|")
    for cost in costs:
        count = COLLECTIONS[cost.kind]
        divided = cost.worker_s * count / 3600
        alone = (cost.alone_s + cost.items * sending) * count / 3600
        hours, bottleneck = max((divided / cores, "workers"), (alone, "one process"))
        commands = math.ceil(alone / NIGHT_HOURS)
        machines = max(math.ceil((divided + alone) / cores / NIGHT_HOURS), 1)
        size = cost.written_bytes * count / 1e9
        print(
            f"| `{cost.command}` | {count:,} {cost.kind} | {hours:,.1f} ({bottleneck}) | {machines}, {commands} "
            f"| {size:,.0f} GB |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("costs", type=Path, help="where the costs are kept, a JSON file")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--measure", action="store_true")
    what.add_argument("--workers", type=int, nargs="+")
    what.add_argument("--model", action="store_true")
    parser.add_argument("--cores", type=int, default=64)
    parser.add_argument("--slices", type=int, default=128)
    parser.add_argument("--volumes", type=int, default=1)
    parser.add_argument("--samples", type=int, default=8)
    arguments = parser.parse_args()
    if arguments.model:
        kept = json.loads(arguments.costs.read_text())
        costs = [Cost(**one) for one in kept["costs"]]
        show_model(costs, sending=kept.get("sending_s", 0.001), cores=arguments.cores)
        return
    with tempfile.TemporaryDirectory() as place:
        made = benches(Path(place), arguments)
        if arguments.measure:
            few = replace(made[0], source=made[0].source / "sub-001", scans=16, samples=1)
            measure(few)  # what is compiled at first use is compiled now
            costs = [cost for bench in made for cost in measure(bench)]
            arguments.costs.write_text(json.dumps({"costs": [asdict(cost) for cost in costs]}, indent=2))
            show_costs(costs)
            return
        for bench in made:
            print(f"| {bench.kind} | " + " | ".join(f"{count} workers" for count in arguments.workers) + " |")
            for command, rates in scale(bench, arguments.workers).items():
                print(f"| `{command}` | " + " | ".join(f"{rate:,.3g}" for rate in rates) + " |")
    kept = json.loads(arguments.costs.read_text())
    kept["sending_s"] = sending_s()
    print(f"giving out an item of 512 KB and taking its result: {1000 * kept['sending_s']:.2f} ms of this process")
    arguments.costs.write_text(json.dumps(kept, indent=2))


if __name__ == "__main__":
    main()
