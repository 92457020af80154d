"""Scan files and tables in, image tensors out; nothing here knows about models."""
