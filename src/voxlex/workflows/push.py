"""Write a run into a repository of the Hugging Face Hub."""

from pathlib import Path

from voxlex import hub
from voxlex.run_folder import RunFolder
from voxlex.vocabulary import load
from voxlex.workflows.cards import card_of, figures_of


def push(
    run: Path,
    repository: str,
    *,
    figures: Path | None = None,
    licence: str | None = None,
    private: bool = False,
) -> str:
    """Write the settings, the metadata and the weights of a run into a repository, with a card; return the commit.

    Args:
        run: The run.
        repository: Owner and name. It is made if it is not there.
        figures: What `voxlex evaluate --json` wrote; by default the file scores.json of the run, if there is one.
        licence: Identifier of the licence of the weights for the card.
        private: Whether a new repository is private.

    Raises:
        ConfigError: If the extra is not installed, or the name is not that of a repository.
        DataError: If the figures cannot be read.
        RunError: If the run cannot be used, or the Hub cannot be reached or refuses.
    """
    hub.check_repository(repository)
    folder, vocabulary = RunFolder.open(run), load(run)  # refuses damaged weights
    address = f"hf://{repository}"
    text = card_of(
        vocabulary,
        name=repository.partition("/")[2],
        use=[
            "import voxlex  # pip install 'voxlex[hub]'",
            "",
            f'vocabulary = voxlex.load("{address}")',
            "codes = vocabulary.encode(images)",
        ],
        source=f"`{address}`, with the commit that you used",
        figures=figures_of(folder.path, figures),
        licence=licence,
    )
    files = hub.files_of(folder.path) | {"README.md": text.encode()}
    return hub.pushed(files, repository, private=private, message="Push a vocabulary of voxlex")
