"""The commands of `voxlex data`, which look after data sets."""
