import inspect
import math
from dataclasses import fields, replace
from pathlib import Path

import pytest

from voxlex import config as settings
from voxlex.assembly import build_quantizer
from voxlex.config import Config, dump_config, load_recipe, parse_config, read_config, recipe_names, with_budget
from voxlex.errors import ConfigError
from voxlex.models import Decoder, Encoder, PaperDecoder, PaperEncoder
from voxlex.priors import GatedPixelCNN, MaskedPrior, TransformerPrior
from voxlex.quantizers import FiniteScalarQuantizer, GumbelQuantizer, LookupFreeQuantizer, SimVQ, VectorQuantizer


@pytest.mark.parametrize("name", recipe_names())
def test_recipes_are_valid_and_survive_a_round_trip(name: str) -> None:
    config = load_recipe(name)
    assert parse_config(__import__("yaml").safe_load(dump_config(config)), where="dump") == config


def test_the_default_recipe_is_the_defaults() -> None:
    assert load_recipe("default") == Config()


@pytest.mark.parametrize(
    ("config", "module", "renamed"),
    [
        (settings.VectorQuantizerConfig, VectorQuantizer, {}),
        (settings.FiniteScalarQuantizerConfig, FiniteScalarQuantizer, {}),
        (settings.LookupFreeQuantizerConfig, LookupFreeQuantizer, {}),
        (settings.SimVQConfig, SimVQ, {}),
        (settings.GumbelQuantizerConfig, GumbelQuantizer, {}),
        (settings.PixelCNNConfig, GatedPixelCNN, {}),
        (settings.TransformerPriorConfig, TransformerPrior, {}),
        (settings.MaskedPriorConfig, MaskedPrior, {}),
        (settings.ResidualNetworkConfig, Encoder, {"encoder_blocks": "blocks"}),
        (settings.ResidualNetworkConfig, Decoder, {"decoder_blocks": "blocks"}),
        (settings.PaperNetworkConfig, PaperEncoder, {}),
        (settings.PaperNetworkConfig, PaperDecoder, {}),
    ],
)
def test_modules_and_settings_have_the_same_defaults(config: type, module: type, renamed: dict[str, str]) -> None:
    parameters = inspect.signature(module.__init__).parameters
    shared = {renamed.get(field.name, field.name): field.default for field in fields(config)}
    shared = {name: default for name, default in shared.items() if name in parameters}
    assert shared, "no setting of this module was compared"
    assert shared == {name: parameters[name].default for name in shared}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"modle": {}}, "modle"),
        ({"model": {"quantizer": {"num_embedings": 5}}}, "num_embedings"),
        ({"model": {"quantizer": {"num_embeddings": 0}}}, "greater than or equal to 1"),
        ({"model": {"quantizer": {"kind": "residual", "stages": 3}}}, "model.quantizer.stages"),
        ({"model": {"quantizer": {"kind": "finite_scalar", "levels": [1, 5]}}}, "levels.0"),
        ({"model": {"quantizer": {"kind": "product"}}}, "product.*does not match.*'grouped'"),
        ({"training": {"minutes": "soon"}}, "training.minutes"),
        ({"training": {"seed": -1}}, "training.seed"),
        ({"training": {"minutes": math.inf}}, "training.minutes.*finite"),
        ({"data": {"phantom": {"variety": math.nan}}}, "data.phantom.variety.*finite"),
        ({"prior": {"kind": "masked", "heads": 0}}, "prior.heads"),
        ({"model": {"network": {"kind": "unet"}}}, "network"),
        ({"data": {"phantom": {"contrast": "t3"}}}, "contrast"),
        (["a list"], "the whole"),
    ],
)
def test_a_bad_recipe_is_named_with_its_key(content: object, message: str) -> None:
    with pytest.raises(ConfigError, match=f"recipe.yaml.*{message}"):
        parse_config(content, where="recipe.yaml")


def test_an_empty_recipe_is_the_defaults() -> None:
    assert parse_config(None, where="here") == Config()


def test_unknown_recipes_list_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"'fancy'.*default.*paper"):
        load_recipe("fancy")
    with pytest.raises(ConfigError, match=r"did you mean 'pixelcnn'\?"):
        load_recipe("pixlcnn")


def test_a_file_that_is_not_yaml(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("model: [")
    with pytest.raises(ConfigError, match=r"recipe\.yaml"):
        read_config(path)


def test_a_budget_replaces_the_other() -> None:
    assert with_budget(Config(), minutes=None, steps=7).training.minutes is None
    assert with_budget(Config(), minutes=2.0, steps=None).training.minutes == 2
    assert with_budget(Config(), minutes=None, steps=None) == Config()
    with pytest.raises(ConfigError, match="not both"):
        with_budget(Config(), minutes=1.0, steps=1)


@pytest.mark.parametrize("name", recipe_names())
def test_recipes_build_what_they_say(name: str) -> None:
    config = load_recipe(name).model.quantizer
    quantizer = build_quantizer(config)
    assert quantizer.embedding_dim == config.embedding_dim
    assert quantizer.num_codebooks == getattr(config, "num_codebooks", 1)


def test_the_recipes_of_the_quantizers_have_one_rate() -> None:
    default = load_recipe("default").model
    models = [load_recipe(name).model for name in recipe_names()]
    quantizers = [build_quantizer(m.quantizer) for m in models if replace(m, quantizer=default.quantizer) == default]
    assert len(quantizers) >= 10
    assert all(9.9 < q.num_codebooks * math.log2(q.num_embeddings) <= 10 for q in quantizers)
