"""Audit a data set before training on it."""

from pathlib import Path

from voxlex.audit.findings import Audit, audit_prepared, audit_scans
from voxlex.data.sources import find_source, open_source
from voxlex.files import write_json
from voxlex.outputs import check_file, check_files_differ
from voxlex.pages.audit_page import write_audit
from voxlex.progress import Phases, silent
from voxlex.workflows.opening import files_of


def audit(
    place: str,
    *,
    out: Path | None = None,
    json_file: Path | None = None,
    overwrite: bool = False,
    phases: Phases = silent,
) -> Audit:
    """Audit a source, and write the findings.

    Args:
        place: Path or name of the source; see `find_source`. Scans are examined as they are stored, and other sources
            after they are prepared.
        out: HTML page to write.
        json_file: JSON file to write. It lists every path.
        overwrite: Replace files that exist.
        phases: Receives the progress of the work.

    Raises:
        DataError: If the source cannot be used, or a file exists or cannot be written.
    """
    check_files_differ(out, json_file)
    for file in (out, json_file):
        if file is not None:
            check_file(file, overwrite=overwrite, reads=files_of(place))
    source = find_source(place)
    if source.index is not None:
        with phases("looking") as progress:
            found = audit_scans(source.index, progress=progress)
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
