"""`voxlex push`: write a run into a repository of the Hugging Face Hub."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from voxlex.commands.common import Run, say


@dataclass(kw_only=True)
class Push:
    """Write a run into a repository of the Hugging Face Hub: settings, metadata, weights as safetensors, and a card.

    Every command then takes the printed address in place of a run. Needs the extra `voxlex[hub]` and a token, from
    `hf auth login` or in HF_TOKEN.

    Attributes:
        run_folder: Run folder.
        repository: Owner and name of the repository. It is made if it is not there.
        figures: Figures for the card, a file that `voxlex evaluate --json` wrote.
        license: Identifier of the licence of the weights for the card, such as "cc-by-4.0".
        private: Make a new repository private.
    """

    run_folder: Run
    repository: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="OWNER/NAME")]
    figures: Annotated[Path | None, tyro.conf.arg(metavar="JSON")] = None
    license: Annotated[str | None, tyro.conf.arg(metavar="LICENCE")] = None
    private: bool = False

    def run(self) -> None:
        """Push the run."""
        from voxlex.workflows.push import push

        commit = push(
            self.run_folder,
            self.repository,
            figures=self.figures,
            licence=self.license,
            private=self.private,
        )
        say(f"hf://{self.repository}@{commit}")
