"""How many examples the property tests try: few, always the same ones; `VOXLEX_PROPERTIES=1000` tries more."""

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "voxlex",
    max_examples=int(os.environ.get("VOXLEX_PROPERTIES", "20")),
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
settings.load_profile("voxlex")
