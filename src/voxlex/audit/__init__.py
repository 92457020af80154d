"""Audits of data sets: unreadable images, near-duplicates, and splits that leak."""
