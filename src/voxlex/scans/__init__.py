"""Read scan files of many formats as voxels in canonical order, and write them."""
