"""What is known of scans besides their voxels: where they are, whose they are, and the tables that say so."""
