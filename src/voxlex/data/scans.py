"""The place of `read_scan` in version 0.1.0, for programs that import it from here."""

from voxlex.scans.listing import find_scans
from voxlex.scans.read_write import read_scan, write_scan
from voxlex.scans.scan import Scan

__all__ = ["Scan", "find_scans", "read_scan", "write_scan"]
