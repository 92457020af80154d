"""Problems that are known, by the kind of file: parts of what they say. Remove a line when the fault is gone."""

NOT_YET: dict[str, tuple[str, ...]] = {
    # Headers that claim gigabytes are believed before the file is measured.
    "mgh": ("takes longer than", "takes too much memory"),
    "dicom, jpeg": ("takes longer than", "takes too much memory"),
    "dicom, jpeg 2000": ("takes longer than", "takes too much memory"),
    # ITK ends the process over damaged headers.
    "nrrd": ("the process crashed",),
    # The words of numpy's parser of headers are shown.
    "prepared, images": ("malformed node", "says"),
}
