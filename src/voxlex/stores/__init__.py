"""Scans, runs and results on object stores and on the web, through fsspec, which is imported when it is needed."""
