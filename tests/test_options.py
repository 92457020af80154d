import pytest

from voxlex.config.options import PhantomOptions
from voxlex.errors import ConfigError


@pytest.mark.parametrize("options", [{"subjects": 0}, {"slices": 0}, {"variety": -1.0}, {"noise": -1.0}])
def test_options_that_make_no_sense(options: dict):
    with pytest.raises(ConfigError, match="phantom"):
        PhantomOptions(**options)


def test_an_unknown_contrast():
    options = PhantomOptions()
    object.__setattr__(options, "contrast", "flair")  # past the type checks that only tests have
    with pytest.raises(ConfigError, match="phantom contrast must be t1, t2 or pd, found 'flair'"):
        options.__post_init__()
