"""`voxlex list`: list the scans of an archive."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import tyro

from voxlex.commands.common import say


@dataclass(kw_only=True)
class List:
    """List the scans of an archive, one a line: name, shape, bytes, bits per pixel, and coder.

    Attributes:
        archive: The archive.
        json: Print JSON instead.
    """

    archive: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="ARCHIVE")]
    json: bool = False

    def run(self) -> None:
        """List the scans."""
        import json

        from voxlex.archive.archive import Archive
        from voxlex.archive.content import Content
        from voxlex.commands.terminal import show_notes
        from voxlex.errors import ArchiveError
        from voxlex.workflows.unpack import list_scans

        archive = Archive(Content.open(self.archive), vocabulary=None, tables=None)
        scans, failed = list_scans(archive)
        if self.json:
            say(json.dumps([asdict(scan) for scan in scans]))
        else:
            width = max((len(scan.name) for scan in scans), default=0)
            for scan in scans:
                shape = "×".join(map(str, scan.shape))
                say(f"{scan.name:{width}}  {shape:>13}  {scan.bytes:>9,}  {scan.rate_bpp:.3f} bit/pixel  {scan.coder}")
        show_notes([*archive.damage, *failed])
        if failed or archive.damage:
            raise ArchiveError(f"{self.archive}: is damaged; only what is whole was listed")
