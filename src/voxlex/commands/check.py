"""`voxlex check`: check a whole experiment before it is trained."""

from dataclasses import dataclass

from voxlex.commands.common import say
from voxlex.commands.train import Train
from voxlex.config import with_budget
from voxlex.errors import VoxlexError


@dataclass(kw_only=True)
class Check(Train):
    """Check in seconds whether a training can begin, with the options of `voxlex train`; nothing is written.

    Attributes:
        source: A folder of scans (searched recursively), one scan, a table of scans, a prepared data set, or "phantom".
        out: Run folder that would be created.
        recipe: Name of a recipe, or a YAML file. Other options change single settings of it. With --stage prior, only
            the prior of the recipe is used. With --resume, the recipe is ignored.
        minutes: Training time in minutes, shared by all stages. The default is that of the recipe.
        steps: Number of training steps of each stage, instead of a time.
        stage: Train only the autoencoder, only the textured decoder or the prior (in a run that already has an
            autoencoder), or all of them.
        resume: Continue the run where it stopped, with its own settings.
        overwrite: Replace an existing run. With --stage texture or prior, replace only this stage of it.
    """

    def run(self) -> None:
        """Print a line for each check.

        Raises:
            VoxlexError: If any has failed; the error is that of the first.
        """
        from voxlex.workflows.check import check

        findings = check(
            self.source,
            out=self.folder,
            config=with_budget(self.config, minutes=self.minutes, steps=self.steps),
            stage=self.stage,
            resume=self.resume,
            overwrite=self.overwrite,
        )
        width = max(len(finding.name) for finding in findings)
        for finding in findings:
            say(f"{'ok   ' if finding.ok else 'wrong'}  {finding.name:{width}}  {' '.join(finding.said.split())}")
        wrong = [finding.said for finding in findings if not finding.ok]
        if wrong:
            raise VoxlexError(wrong[0])
