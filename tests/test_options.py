import jaxtyping
import pytest

from voxlex.config.options import PhantomOptions
from voxlex.errors import ConfigError


@pytest.mark.parametrize("options", [{"subjects": 0}, {"slices": 0}, {"variety": -1.0}, {"noise": -1.0}])
def test_options_that_make_no_sense(options: dict):
    with pytest.raises(ConfigError, match="phantom"):
        PhantomOptions(**options)


def test_an_unknown_contrast(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # only the tests check types before the class does
    with pytest.raises(ConfigError, match="phantom contrast must be t1, t2 or pd, found 'flair'"):
        PhantomOptions(contrast="flair")
