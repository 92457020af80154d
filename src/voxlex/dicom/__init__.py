"""Read DICOM files: what they hold, and how to choose of it. This room knows nothing of scans."""
