"""Figures of a trained vocabulary."""
