"""Scan files of every kind, read to voxels in canonical order and written back as they were."""
