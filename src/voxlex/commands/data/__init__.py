"""The commands of `voxlex data`, which manage data sets."""
