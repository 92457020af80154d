"""`python -m voxlex`: the command line, where the script `voxlex` is not on the path."""

import sys

from voxlex.cli import main

sys.exit(main())
