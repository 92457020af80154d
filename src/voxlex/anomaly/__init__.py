"""Find what does not belong in a scan, with a vocabulary that was trained on healthy scans."""

from voxlex.anomaly.detector import Detector, Method

__all__ = ["Detector", "Method"]
