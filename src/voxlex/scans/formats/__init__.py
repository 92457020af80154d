"""File formats. Each module reads one family of formats as scans, and writes some of them."""
