"""File formats: each module reads one family of files as scans, and writes those it can."""
