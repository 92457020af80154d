"""`voxlex explore`: look at a run and its scans in a browser."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from voxlex.commands.common import Run, say
from voxlex.errors import ConfigError


@dataclass(kw_only=True)
class Explore:
    """Show a run and its scans on a local web page: scans, codewords, new images, regions, and the training itself.

    The page is served from this machine and needs no network. It stays open until Ctrl-C.

    Attributes:
        run_folder: Run folder. It may be one that is still being trained.
        source: A folder or table of scans, a single scan, a prepared data set, or "phantom". By default the images that
            the run was trained on, if they are the phantom or in the cache.
        beside: Another run, to see beside the first one on the same scans. It may have other codes, but must take
            images of the same size.
        host: Where to listen. Any other place than this machine itself needs a token, which is part of the address.
        port: The port to listen at; 0 for any free one. By default 8421, or any free one if that is taken.
        no_browser: Only print the address, and open no browser.
    """

    run_folder: Run
    source: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[SOURCE]")] = None
    beside: Path | None = None
    host: str = "127.0.0.1"
    port: int | None = None
    no_browser: bool = False

    def run(self) -> None:
        """Serve the page."""
        try:
            from voxlex.explorer.exhibit import Exhibit
            from voxlex.explorer.serve import serve
        except ModuleNotFoundError as cause:
            raise ConfigError(
                f"explore: expected the packages of the extra 'explore', got an installation without {cause.name}; "
                "pip install 'voxlex[explore]'"
            ) from cause
        exhibit = Exhibit(self.run_folder, self.source, beside=self.beside)

        def tell(address: str) -> None:
            names = exhibit.name if exhibit.beside is None else f"{exhibit.name} beside {exhibit.beside.name}"
            say(f"{names}: {address}  (Ctrl-C ends it)")
            sys.stdout.flush()  # the command goes on, and a pipe would keep the line back

        serve(
            exhibit,
            host=self.host,
            port=self.port,
            browse=not self.no_browser,
            say=tell,
        )
