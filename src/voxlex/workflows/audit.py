"""Audit a data set before training on it."""

from pathlib import Path

from voxlex.audit.findings import Audit, audit_prepared, audit_scans
from voxlex.config.options import ReadingOptions
from voxlex.data.sources import SourceLike, SourceOptions, find_source, open_source
from voxlex.files import write_json
from voxlex.outputs import check_file, check_files_differ
from voxlex.pages.audit_page import write_audit
from voxlex.progress import Phases, silent
from voxlex.workflows.opening import check_readable, files_of


def audit(
    place: SourceLike,
    *,
    out: Path | None = None,
    json_file: Path | None = None,
    reading: ReadingOptions | None = None,
    overwrite: bool = False,
    phases: Phases = silent,
) -> Audit:
    """Audit a source, and write the findings.

    Args:
        place: Path or name of the source, or scans in memory; see `find_source`. Scans are examined as they are, and
            other sources after they are prepared.
        out: HTML page to write.
        json_file: JSON file to write. It lists every path.
        reading: What to read of scan files that leave a choice, and what to assume where they say nothing.
        overwrite: Replace files that exist.
        phases: Receives the progress of the work.

    Raises:
        DataError: If the source cannot be used, or a file exists or cannot be written.
    """
    check_files_differ(out, json_file)
    for file, suffixes in ((out, (".html", ".htm")), (json_file, (".json",))):
        if file is not None:
            check_file(file, overwrite=overwrite, reads=files_of(place), suffixes=suffixes)
    reading = reading or ReadingOptions()
    source = find_source(place, SourceOptions(reading=reading))
    check_readable(source, reading)
    if source.index is not None:
        with phases("looking") as progress:
            found = audit_scans(source.index, reading, progress=progress)
    else:
        with phases("preparing") as progress:
            dataset = open_source(source, progress=progress)
        with phases("looking") as progress:
            found = audit_prepared(dataset, progress=progress)
    if out is not None:
        write_audit(out, found)
    if json_file is not None:
        write_json(json_file, found.as_json())
    return found
