"""Look at every image of a data set before anything is learnt from it."""

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
    """Audit a source, and write what was found.

    Args:
        place: What a person calls a data set; see `find_source`. Scans are looked at as they lie in their files, and
            all else as it is prepared.
        out: HTML page to write.
        json_file: JSON file to write, with every path.
        overwrite: Replace files that are there.
        phases: Told of what takes time.

    Raises:
        DataError: The source cannot be used at all, or a file is in the way or cannot be written.
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
