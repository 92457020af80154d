"""Settings that are ambiguous, or that ask for more than a machine has."""

from pathlib import Path

import pytest
import torch

from voxlex import assembly
from voxlex.assembly import build_autoencoder, build_prior
from voxlex.codes import CodeLayout
from voxlex.config import Config, ModelConfig, parse, read_config
from voxlex.config.priors import PixelCNNConfig
from voxlex.errors import ConfigError
from voxlex.priors import Conditions


def refusal(content: object) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(Config, content, where="recipe.yaml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("content", "setting"),
    [
        ({"data": {"size": True}}, "data.size"),
        ({"training": {"prior": {"betas": [True, 0.9]}}}, "training.prior.betas"),
        ({"data": {"reading": {"volume": False}}}, "data.reading.volume"),
    ],
)
def test_true_is_not_a_number(content: object, setting: str) -> None:
    assert refusal(content).startswith(f"recipe.yaml: {setting}: expected a value other than true or false, got ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected settings by name, got an empty file"),
        ("# nothing yet\n", "expected settings by name, got an empty file"),
        ("data: {size: 32, size: 64}", "cannot be read as YAML: line 1, column 18: 'size' twice"),
        (
            "data:\n\tsize: 32",
            "line 2, column 1: found character '\\t' that cannot start any token; indent with spaces",
        ),
        ("1: 2", "line 1, column 1: expected text as the name of a setting, got '1'"),
        ("a: &a [1, 2]\nb: [*a, *a]", "a: expected one of data, model, losses, prior, training, got 'a'"),
    ],
)
def test_a_file_of_settings_says_one_thing(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_config(tmp_path / "recipe.yaml")
    assert str(caught.value).endswith(message)


def test_a_recipe_may_name_a_part_and_use_it_again(tmp_path: Path) -> None:
    text = "training:\n  autoencoder: &stage {batch_size: 7}\n  prior:\n    <<: *stage\n"
    (tmp_path / "recipe.yaml").write_text(text)
    training = read_config(tmp_path / "recipe.yaml").training
    assert (training.autoencoder.batch_size, training.prior.batch_size) == (7, 7)


@pytest.mark.parametrize(
    ("model", "setting"),
    [
        ({"network": {"width": 2**30}}, r"model\.network\.width"),
        ({"network": {"expansion": 2**30}}, r"model\.network\.expansion"),
        ({"quantizer": {"num_embeddings": 2**30}}, r"model\.quantizer\.num_embeddings"),
        ({"quantizer": {"kind": "residual", "stage": {"embedding_dim": 2**30}}}, r"model\.quantizer\.stage\.embed"),
    ],
)
def test_a_model_that_no_memory_holds_is_not_built(model: dict, setting: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{setting}\S*: expected settings whose weights fit into"):
        build_autoencoder(parse(ModelConfig, model, where="here"))


def test_a_prior_that_no_memory_holds_is_not_built() -> None:
    layout = CodeLayout(num_embeddings=8, grid=(2**15, 2**15))
    with pytest.raises(ConfigError, match=r"^data\.size: expected settings whose weights fit into"):
        build_prior(PixelCNNConfig(), layouts=[layout], conditions=Conditions())


def test_the_trial_without_memory_changes_no_random_number() -> None:
    torch.manual_seed(5)
    ordinary = build_autoencoder(ModelConfig())
    torch.manual_seed(5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assembly, "_ORDINARY", 0)
        tried = build_autoencoder(ModelConfig())
    assert all(map(torch.equal, ordinary.state_dict().values(), tried.state_dict().values()))
