"""Images that show the same slice: arrays in, pairs out."""
