"""Settings: their defaults, what is refused and how it is said, recipes, and what is built from them."""

import inspect
import math
import subprocess
import sys
from dataclasses import MISSING, dataclass, fields, replace
from importlib import resources
from pathlib import Path
from typing import Any, Literal, get_args

import pytest
import yaml

from voxlex.assembly import build_autoencoder, build_prior, build_quantizer
from voxlex.cli import main
from voxlex.codes import CodeLayout
from voxlex.config import (
    AugmentConfig,
    Config,
    ModelConfig,
    NetworkConfig,
    PhantomOptions,
    PriorConfig,
    QuantizerConfig,
    SliceOptions,
    dump_config,
    load_recipe,
    parse,
    read_config,
    recipe_names,
    with_budget,
    with_kinds,
)
from voxlex.config.defaults import defaults_of
from voxlex.config.networks import PaperNetworkConfig, ResidualNetworkConfig
from voxlex.config.priors import PixelCNNConfig
from voxlex.config.quantizers import VectorQuantizerConfig
from voxlex.errors import ConfigError
from voxlex.models import NETWORKS
from voxlex.priors import PRIORS, Conditions
from voxlex.quantizers import QUANTIZERS
from voxlex.training.augmentation import Augmentation

ON_THEIR_OWN = {"default", "paper"}
"""Recipes that state values whatever the defaults are: the page of all settings, and what a paper says."""


def kinds_of(union: Any) -> dict[str, type]:
    """Return the classes of settings that a kind chooses from, by kind."""
    return {settings.kind: settings for settings in get_args(get_args(union)[0])}


def modules_of_all_settings() -> list[tuple[type, type, str]]:
    """Return settings, a module that is built from them, and what the names of settings for it alone begin with."""
    modules = [(kinds_of(QuantizerConfig)[kind], module, "") for kind, module in QUANTIZERS.items()]
    modules += [(kinds_of(PriorConfig)[kind], module, "") for kind, module in PRIORS.items()]
    for kind, (encoder, decoder) in NETWORKS.items():
        network = kinds_of(NetworkConfig)[kind]
        modules += [(network, encoder, "encoder_"), (network, decoder, "decoder_")]
    return [*modules, (AugmentConfig, Augmentation, "")]


def leaves(content: dict, above: str = "") -> dict[str, Any]:
    """Return values by their dotted key."""
    found = {}
    for key, value in content.items():
        found |= leaves(value, f"{above}{key}.") if isinstance(value, dict) else {f"{above}{key}": value}
    return found


def nested(flat: dict[str, Any]) -> dict:
    """Undo `leaves`."""
    content: dict = {}
    for key, value in flat.items():
        *above, last = key.split(".")
        place = content
        for name in above:
            place = place.setdefault(name, {})
        place[last] = value
    return content


def content_of(recipe: str) -> dict:
    return yaml.safe_load((resources.files("voxlex.recipes") / f"{recipe}.yaml").read_text(encoding="utf-8"))


def refuse_recipe(content: object) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(Config, content, where="recipe.yaml")
    return str(caught.value)


def test_the_tables_and_the_settings_have_the_same_kinds() -> None:
    assert list(kinds_of(QuantizerConfig)) == list(QUANTIZERS)
    assert list(kinds_of(PriorConfig)) == list(PRIORS)
    assert list(kinds_of(NetworkConfig)) == list(NETWORKS)


@pytest.mark.parametrize(("settings", "module", "side"), modules_of_all_settings())
def test_modules_and_settings_have_the_same_defaults(settings: type, module: type, side: str) -> None:
    parameters = inspect.signature(module.__init__).parameters
    defaults = {field.name.removeprefix(side): field.default for field in fields(settings)}
    shared = {name: value for name, value in defaults.items() if name in parameters and value is not MISSING}
    shared.pop("num_codebooks", None)  # of stages and groups, which a module gets ready-made
    assert shared == {name: parameters[name].default for name in shared}
    assert shared or settings.kind == "grouped", "no setting of this module was compared"


def test_defaults_are_read_of_constructors_alone() -> None:
    with pytest.raises(LookupError, match="expected a class Nothing with a constructor"):
        defaults_of("quantizers/vector.py", "Nothing")


def test_settings_import_nothing_heavy() -> None:
    code = "import sys, voxlex.config; print({'torch', 'pandas', 'numpy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


@pytest.mark.parametrize("name", recipe_names())
def test_recipes_survive_a_round_trip(name: str) -> None:
    config = load_recipe(name)
    assert parse(Config, yaml.safe_load(dump_config(config)), where="dump") == config


def test_the_default_recipe_states_all_defaults() -> None:
    assert leaves(content_of("default")) == leaves(yaml.safe_load(dump_config(Config())))


@pytest.mark.parametrize("name", sorted({*recipe_names()} - ON_THEIR_OWN))
def test_other_recipes_state_only_kinds_and_what_differs_from_the_defaults(name: str) -> None:
    content = content_of(name)
    kinds = {setting: value for setting, value in leaves(content).items() if setting.endswith(".kind")}
    chosen = parse(Config, nested(kinds), where="kinds")
    defaults = leaves(yaml.safe_load(dump_config(chosen)))
    repeated = {setting for setting, value in leaves(content).items() if defaults[setting] == value}
    assert repeated <= set(kinds)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"modle": {}},
            "modle: expected one of data, model, losses, prior, training, got 'modle'; did you mean 'model'?",
        ),
        ({"model": {"quantizer": {"num_embeddings": 0}}}, "model.quantizer.num_embeddings: expected at least 1, got 0"),
        (
            {"model": {"levels": {"kind": "multi_scale", "scales": [4, 3, 1]}}},
            "model.levels.scales: expected multiples of each other, the last of them 1, as in 4 2 1, got (4, 3, 1)",
        ),
        (
            {"model": {"levels": {"kind": "multi_scale", "coarse": {"embedding_dim": 4}}}},
            "model.levels.coarse.embedding_dim: expected 8, the length of a latent of model.quantizer, got 4",
        ),
        (
            {"model": {"levels": {"kind": "vqvae2", "scale": 3}}},
            "model.levels.scale: expected 2, 4, 8 or another power of two, got 3",
        ),
        (
            {"model": {"quantizer": {"kind": "residual", "stage": {"num_embeddings": 0}}}},
            "model.quantizer.stage.num_embeddings: expected at least 1, got 0",
        ),
        (
            {"model": {"quantizer": {"kind": "finite_scalar", "levels": [8, 1]}}},
            "model.quantizer.levels.1: expected at least 2, got 1",
        ),
        ({"training": {"minutes": "soon"}}, "training.minutes: expected a number, got 'soon'"),
        ({"training": {"minutes": math.inf}}, "training.minutes: expected a finite number, got inf"),
        ({"training": {"seed": -1}}, "training.seed: expected at least 0, got -1"),
        ({"training": {"devices": 1.5}}, "training.devices: expected a whole number, got 1.5"),
        ({"training": {"prior": {"warmup": 1}}}, "training.prior.warmup: expected less than 1, got 1"),
        ({"training": {"prior": {"betas": 0.9}}}, "training.prior.betas: expected a list, got 0.9"),
        ({"data": {"phantom": {"contrast": "t3"}}}, "data.phantom.contrast: expected one of t1, t2, pd, got 't3'"),
        ({"data": {"phantom": {"noise": -1}}}, "data.phantom.noise: expected at least 0, got -1"),
        (
            {"prior": {"kind": "masked", "order": "haltn"}},
            "prior.order: expected one of confidence, halton, got 'haltn'; did you mean 'halton'?",
        ),
        ({"data": {"slices": {"lowest": 0.9}}}, "data.slices.highest: expected at least lowest, 0.9, got 0.8"),
        ({"data": {"slices": {"count": 2, "every_mm": 9}}}, "data.slices.count: expected none beside every_mm, got 2"),
        ({"model": {"spatial_dims": 4}}, "model.spatial_dims: expected 2 or 3, got 4"),
        ({"model": {"quantizer": "vector"}}, "model.quantizer: expected settings by name, got 'vector'"),
        (["a list"], "the whole: expected settings by name, got ['a list']"),
    ],
)
def test_a_bad_recipe_is_refused(content: object, message: str) -> None:
    assert refuse_recipe(content) == f"recipe.yaml: {message}"


def test_a_misspelt_setting_lists_those_of_its_kind() -> None:
    message = refuse_recipe({"model": {"quantizer": {"kind": "residual", "stages": 3}}})
    assert message.endswith(
        "quantizer.stages: expected one of kind, num_codebooks, shared, gradient, dropout, stage, got 'stages'; "
        "did you mean 'stage'?"
    )


KINDS = [
    (
        "prior",
        "pixlcnn",
        "prior.kind: expected one of pixelcnn, transformer, masked, got 'pixlcnn'; did you mean 'pixelcnn'?",
    ),
    ("model.network", "unet", "model.network.kind: expected one of residual, paper, monai, got 'unet'"),
    ("model.quantizer", "residul", "did you mean 'residual'?"),
    ("model.levels", "multiscale", "did you mean 'multi_scale'?"),
]


@pytest.mark.parametrize(("setting", "kind", "message"), KINDS)
def test_an_unknown_kind_lists_the_known_ones(
    setting: str, kind: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    content: dict = {"kind": kind}
    for name in reversed(setting.split(".")):
        content = {name: content}
    assert message in refuse_recipe(content)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(ConfigError) as caught:
        read_config(tmp_path / "config.yaml")
    assert message in str(caught.value)
    assert main(["train", "phantom", "--out", str(tmp_path / "run"), f"--{setting}.kind", kind]) == 1
    assert message in capsys.readouterr().err


@dataclass(frozen=True, kw_only=True)
class UnheardOfQuantizerConfig(VectorQuantizerConfig):
    kind: Literal["vektor"] = "vektor"


@dataclass(frozen=True, kw_only=True)
class UnheardOfPriorConfig(PixelCNNConfig):
    kind: Literal["pixlcnn"] = "pixlcnn"


@dataclass(frozen=True, kw_only=True)
class UnheardOfNetworkConfig(PaperNetworkConfig):
    kind: Literal["unet"] = "unet"


def test_a_recipe_changes_what_it_says_and_keeps_the_rest_of_the_default(tmp_path: Path) -> None:
    recipe = tmp_path / "own.yaml"
    recipe.write_text("model: {quantizer: {rate_weight: 0.1}, network: {decoder_blocks: 6}}\nprior: {layers: 4}\n")
    default, own = Config(), read_config(recipe)
    quantizer, network = default.model.quantizer, default.model.network
    assert isinstance(quantizer, VectorQuantizerConfig)
    assert isinstance(network, ResidualNetworkConfig)
    assert own.model.quantizer == replace(quantizer, rate_weight=0.1)
    assert own.model.network == replace(network, decoder_blocks=6)
    assert own.prior == replace(default.prior, layers=4)
    recipe.write_text("model: {quantizer: {kind: vector, rate_weight: 0.1}}\n")
    assert read_config(recipe).model.quantizer == VectorQuantizerConfig(rate_weight=0.1)


def test_kinds_that_cannot_be_built() -> None:
    with pytest.raises(
        ConfigError, match=r"quantizer: expected one of vector, .* got 'vektor'; did you mean 'vector'\?"
    ):
        build_quantizer(UnheardOfQuantizerConfig())
    layout = CodeLayout(num_embeddings=8, grid=(4, 4))
    with pytest.raises(ConfigError, match=r"prior: expected one of pixelcnn, .* got 'pixlcnn'; did you mean"):
        build_prior(UnheardOfPriorConfig(), layouts=[layout], conditions=Conditions())
    with pytest.raises(ConfigError, match=r"network: expected one of residual, paper, monai, got 'unet'"):
        build_autoencoder(ModelConfig(network=UnheardOfNetworkConfig()))


def test_another_kind_starts_from_its_own_defaults_and_the_same_kind_stays() -> None:
    config = replace(load_recipe("volumes"), prior=PixelCNNConfig(width=8))
    assert with_kinds(config, {"prior": "pixelcnn"}) == config
    changed = with_kinds(config, {"prior": "masked", "model.quantizer": "gumbel"})
    assert changed.prior == kinds_of(PriorConfig)["masked"]()
    assert changed.model.quantizer == kinds_of(QuantizerConfig)["gumbel"]()
    assert replace(changed, prior=config.prior, model=config.model) == config


@pytest.mark.parametrize(
    "options", [{"subjects": 0}, {"slices": 0}, {"variety": -1.0}, {"noise": math.nan}, {"field_of_view_mm": 0.0}]
)
def test_a_phantom_that_makes_no_sense_cannot_be_asked_for(options: dict) -> None:
    with pytest.raises(ConfigError, match=rf"phantom\.{next(iter(options))}: expected"):
        PhantomOptions(**options)


@pytest.mark.parametrize(
    "options", [{"highest": 0.1}, {"highest": 1.5}, {"count": 0}, {"every_mm": 0.0}, {"count": 2, "every_mm": 3.0}]
)
def test_slices_that_make_no_sense_cannot_be_asked_for(options: dict) -> None:
    with pytest.raises(ConfigError, match=rf"slices\.{next(iter(options))}: expected"):
        SliceOptions(**options)


def test_an_empty_recipe_is_the_defaults() -> None:
    assert parse(Config, None, where="here") == Config()


def test_unknown_recipes_list_the_known_ones() -> None:
    with pytest.raises(
        ConfigError, match=r"recipe: expected a YAML file that exists, or one of .*paper.*, got 'fancy'"
    ):
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
    assert type(quantizer) is QUANTIZERS[config.kind]
    assert quantizer.embedding_dim == config.embedding_dim
    assert quantizer.num_codebooks == getattr(config, "num_codebooks", 1)


def test_the_recipes_of_the_quantizers_have_one_rate() -> None:
    default = load_recipe("default").model
    models = [load_recipe(name).model for name in recipe_names()]
    plain = [m for m in models if not getattr(m.quantizer, "rate_weight", 0)]  # others spend bits where they need them
    quantizers = [build_quantizer(m.quantizer) for m in plain if replace(m, quantizer=default.quantizer) == default]
    assert len(quantizers) >= 10
    assert all(9.9 < q.num_codebooks * math.log2(q.num_embeddings) <= 10 for q in quantizers)


def test_a_quantizer_from_before_bits_were_weighed_still_takes_the_nearest_codeword(tmp_path):
    content = yaml.safe_load(dump_config(Config()))
    assert content["model"]["quantizer"].pop("rate_weight") > 0
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(content))
    assert read_config(tmp_path / "config.yaml", complete=True).model.quantizer.rate_weight == 0


def test_a_run_from_before_a_setting_was_there_keeps_what_was_done_then(tmp_path):
    content = yaml.safe_load(dump_config(Config()))
    assert content["prior"].pop("grouped")
    assert content["training"]["prior"].pop("optimizer") == "muon"
    assert content["training"]["autoencoder"].pop("optimizer") == "muon"
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(content))
    earlier = read_config(tmp_path / "config.yaml", complete=True)
    assert not earlier.prior.grouped
    assert earlier.training.prior.optimizer == "adamw"
    assert earlier.training.autoencoder.optimizer == "adamw"
    recipe = read_config(tmp_path / "config.yaml")
    assert recipe == Config()
