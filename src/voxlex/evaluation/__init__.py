"""Measures of a trained vocabulary, and the pictures and the report that show them."""
