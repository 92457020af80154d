"""`voxlex sample`: draw new images."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from voxlex.commands.common import OnRay, Run, name_of, place, say, wanted
from voxlex.config import Decoding
from voxlex.names import counted


@dataclass(kw_only=True)
class Sample:
    """Draw new images from the prior.

    Attributes:
        run_folder: Run folder.
        count: Number of images to draw.
        out: Folder for the images and for a sheet that shows them.
        condition: Conditions on the images, such as label=glioma slice=12. By default there are none.
        guidance: A value above 1 makes images follow the conditions more closely and vary less, and doubles the time.
        temperature: A value below 1 keeps images close to what is likely. A value above 1 makes them more varied.
        top_k: Draw each code from the k most likely ones.
        top_p: Draw each code from the smallest set of likely codes that has this share of the probability.
        min_p: Draw each code from those that are at least this share as probable as the most likely one.
        seed: The same seed gives the same images on the same machine.
        decoding: "textured" draws likely fine detail, "faithful" leaves out detail that codes do not contain. The
            default is "textured" if the run has a textured decoder.
        on_ray: Let the workers of a Ray cluster do the work, with the same results.
        overwrite: Write into the folder even if it is not empty, and remove older samples from it.
    """

    run_folder: Run
    count: int = 16
    out: Annotated[Path | None, place("samples/RUN")] = None
    condition: tuple[str, ...] = ()
    guidance: float = 1.0
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    seed: int = 0
    decoding: Decoding | None = None
    on_ray: OnRay = field(default_factory=OnRay)
    overwrite: bool = False

    def run(self) -> None:
        """Draw the images."""
        from voxlex.commands.terminal import progress_bar
        from voxlex.vocabulary import load
        from voxlex.workflows.sample import sample

        out = self.out or Path("samples") / name_of(self.run_folder)
        vocabulary = load(self.run_folder)
        with self.on_ray.open() as workers:
            sample(
                vocabulary,
                count=self.count,
                out=out,
                condition=wanted(self.condition),
                seed=self.seed,
                decoding=self.decoding,
                overwrite=self.overwrite,
                workers=workers,
                phases=progress_bar,
                guidance=self.guidance,
                temperature=self.temperature,
                top_k=self.top_k,
                top_p=self.top_p,
                min_p=self.min_p,
            )
        say(f"{counted(self.count, 'sample')} in {out}")
