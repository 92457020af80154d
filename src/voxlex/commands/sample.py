"""`voxlex sample`: draw new images."""

from dataclasses import dataclass
from pathlib import Path

from voxlex.commands.common import Run, wanted


@dataclass(kw_only=True)
class Sample:
    """Draw new images from the prior.

    Attributes:
        run_folder: Run folder.
        count: How many.
        out: Folder for the images, and for a sheet of them.
        condition: What to ask for, such as label=glioma slice=12; any by default.
        guidance: Above 1, images show more of what was asked for, and differ less; takes twice as long.
        temperature: Below 1 keeps to what is likely, above 1 is more adventurous.
        top_k: Draw each code from this many of the likeliest.
        top_p: Draw each code from the fewest that together have this share of the probability.
        min_p: Draw each code from those at least this many times as likely as the likeliest.
        seed: The same seed gives the same images on the same machine.
        overwrite: Write into a folder that is not empty; samples there that are not written anew are removed.
    """

    run_folder: Run
    count: int
    out: Path
    condition: tuple[str, ...] = ()
    guidance: float = 1.0
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    seed: int = 0
    overwrite: bool = False

    def run(self) -> None:
        """Sample."""
        from voxlex.vocabulary import load
        from voxlex.workflows.progress import progress_bar
        from voxlex.workflows.sample import sample

        sample(
            load(self.run_folder),
            count=self.count,
            out=self.out,
            condition=wanted(self.condition),
            seed=self.seed,
            overwrite=self.overwrite,
            phases=progress_bar,
            guidance=self.guidance,
            temperature=self.temperature,
            top_k=self.top_k,
            top_p=self.top_p,
            min_p=self.min_p,
        )
        print(f"{self.count} samples in {self.out}")
