"""Codes of any layout survive the file; any settings survive YAML; any condition survives its description."""

import json
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from annotated_types import Interval
from hypothesis import assume, given
from hypothesis import strategies as st

from voxlex.assembly import build_autoencoder
from voxlex.code_table import read_code_table, write_code_table
from voxlex.codes import CodeLayout, concatenate, from_levels, levels_of, take
from voxlex.config import Config, ModelConfig, dump_config, parse, read_config
from voxlex.config.networks import ResidualNetworkConfig
from voxlex.config.quantizers import (
    FiniteScalarQuantizerConfig,
    GroupedQuantizerConfig,
    ResidualQuantizerConfig,
    VectorQuantizerConfig,
)
from voxlex.errors import ConfigError
from voxlex.images.intensity import IntensityMap
from voxlex.images.origin import Origin
from voxlex.priors import Conditions
from voxlex.tables.manifest import INDEX_COLUMNS

# beartype chooses at random which elements of a list it checks.
pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")


@st.composite
def quantizers(draw: st.DrawFn) -> Any:
    size = draw(st.integers(1, 300))
    vector = VectorQuantizerConfig(num_embeddings=size, embedding_dim=2)
    count = draw(st.integers(1, 3))
    return draw(
        st.sampled_from(
            [
                vector,
                ResidualQuantizerConfig(num_codebooks=count, stage=vector),
                GroupedQuantizerConfig(num_codebooks=count, group=vector),
                FiniteScalarQuantizerConfig(levels=(2, 3) * count),
            ]
        )
    )


@given(
    quantizer=quantizers(),
    dims=st.sampled_from([2, 3]),
    sides=st.tuples(*[st.integers(1, 5)] * 3),
    images=st.integers(1, 5),
    seed=st.integers(0, 99),
)
def test_codes_of_any_layout_survive_the_file(
    quantizer: Any, dims: int, sides: tuple[int, ...], images: int, seed: int, tmp_path: Path
) -> None:
    network = ResidualNetworkConfig(width=4, stem_width=4, encoder_blocks=1, decoder_blocks=1)
    autoencoder = build_autoencoder(ModelConfig(spatial_dims=dims, network=network, quantizer=quantizer))
    space = tuple(4 * side for side in sides[:dims])
    (layout,) = autoencoder.layouts(space)
    generator = torch.Generator().manual_seed(seed)
    codes = torch.randint(layout.num_embeddings, (images, *layout.shape), generator=generator)
    write_code_table(tmp_path / "codes.parquet", codes, manifest_of(images), autoencoder=autoencoder)
    table = read_code_table(tmp_path / "codes.parquet", autoencoder=autoencoder, space=space)
    assert isinstance(table.codes, torch.Tensor)
    assert torch.equal(table.codes, codes)
    assert list(table.rows["path"]) == [f"{number}.png" for number in range(images)]


def manifest_of(images: int) -> pd.DataFrame:
    facts = Origin(view="picture", height=9, width=8, intensity=IntensityMap(low=0.0, high=255.0, bit_depth=8)).facts()
    rows = [dict.fromkeys(INDEX_COLUMNS, "") | {"path": f"{n}.png", "slice": None} | facts for n in range(images)]
    return pd.DataFrame(rows)


@given(
    grids=st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), min_size=1, max_size=3),
    parts=st.lists(st.integers(1, 4), min_size=1, max_size=4),
)
def test_batches_of_levels_are_joined_and_taken_apart(grids: list[tuple[int, int]], parts: list[int]) -> None:
    layouts = [CodeLayout(num_embeddings=7, num_codebooks=2, grid=grid) for grid in grids]
    batches = [from_levels([torch.randint(7, (part, *layout.shape)) for layout in layouts]) for part in parts]
    whole = concatenate(batches)
    for layout, level in zip(layouts, levels_of(whole), strict=True):
        layout.check(level)
    start = 0
    for part, batch in zip(parts, batches, strict=True):
        again = take(whole, slice(start, start + part))
        assert all(torch.equal(*pair) for pair in zip(levels_of(again), levels_of(batch), strict=True))
        start += part


# --- settings -------------------------------------------------------------------------------------------------------

_FLOATS = st.floats(1e-6, 0.999)


def values_of(hint: Any) -> st.SearchStrategy[Any]:
    """Return a strategy for the values of a setting, by its annotation."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        inner, *marks = arguments
        bounds = [mark for mark in marks if isinstance(mark, Interval)]
        if inner is int and bounds:
            low = bounds[0].ge or 0
            high = bounds[0].le if bounds[0].le is not None else bounds[0].lt - 1
            return st.integers(low, min(high, low + 500))
        if inner is int:
            return st.integers(2, 500)
        return values_of(inner)
    if is_dataclass(hint):
        return settings_of(hint)
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin is tuple:
        if arguments[-1] is Ellipsis:
            return st.lists(values_of(arguments[0]), min_size=1, max_size=4).map(tuple)
        return st.tuples(*map(values_of, arguments))
    if arguments:  # a union
        return st.one_of([values_of(part) for part in arguments])
    return {
        bool: st.booleans(),
        int: st.integers(1, 500),
        float: _FLOATS,
        str: st.text(st.characters(codec="utf-8"), max_size=12).filter(lambda text: not text.isdigit()),
        type(None): st.none(),
    }[hint]


@st.composite
def settings_of(draw: st.DrawFn, kind: Any) -> Any:
    """Draw settings of a class: each is its default, or something else."""
    hints = get_type_hints(kind, include_extras=True)
    changed = {}
    for field in fields(kind):
        if field.name != "kind" and draw(st.integers(0, 3)) == 0:
            changed[field.name] = draw(values_of(hints[field.name]))
    try:
        return kind(**changed)
    except ConfigError:  # of options that validate themselves, such as a range upside down
        assume(False)


def parsed(content: Any) -> tuple[Config | None, str]:
    """Return the settings, or what is said against them."""
    try:
        return parse(Config, content, where="recipe.yaml"), ""
    except ConfigError as cause:
        return None, str(cause)


@given(config=settings_of(Config))
def test_any_settings_survive_yaml(config: Config, tmp_path: Path) -> None:
    text = dump_config(config)
    again, said = parsed(yaml.safe_load(text))
    if said:  # two settings that do not fit together
        assert "expected" in said
        return
    assert again == config
    (tmp_path / "config.yaml").write_text(text, encoding="utf-8")
    assert read_config(tmp_path / "config.yaml", complete=True) == config
    assert again is not None
    assert dump_config(again) == text


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=12,
)


@given(data=st.data())
def test_no_value_of_any_setting_raises_anything_but_our_error(data: st.DataObject) -> None:
    content = yaml.safe_load(dump_config(Config()))
    place = content
    while True:
        key = data.draw(st.sampled_from(sorted(place)))
        if not isinstance(place[key], dict) or data.draw(st.integers(0, 4)) == 0:
            place[key] = data.draw(PLAIN)
            break
        place = place[key]
    _, said = parsed(content)
    assert said == "" or said.startswith("recipe.yaml: ")
    assert len(said) < 1000


@given(content=PLAIN)
def test_no_content_raises_anything_but_our_error(content: Any) -> None:
    _, said = parsed(content)
    assert said == "" or said.startswith("recipe.yaml: ")


# --- conditions -----------------------------------------------------------------------------------------------------

CELLS = st.one_of(
    st.lists(st.sampled_from(["", "a", "b", "1", "é", " "]), min_size=1, max_size=9),
    st.lists(st.one_of(st.floats(-1e6, 1e6), st.just(float("nan"))), min_size=1, max_size=9),
    st.lists(st.integers(-9, 9), min_size=1, max_size=9),
)


@given(first=CELLS, second=CELLS)
def test_conditions_survive_their_description(first: list[Any], second: list[Any]) -> None:
    size = min(len(first), len(second))
    table = {"first": first[:size], "second": second[:size]}
    conditions = Conditions.of(table, ["first", "second"])
    again = Conditions.from_description(json.loads(json.dumps(conditions.describe())))
    assert again == conditions
    encoded = conditions.look_up(table)
    assert encoded.shape == (size, len(conditions.columns))
    conditions.check(encoded, size)
    strict = conditions.encode({name: table[name] for name in conditions.names})
    assert not conditions.names or np.array_equal(strict.numpy(), encoded.numpy(), equal_nan=True)


@given(wanted=st.dictionaries(st.text(max_size=4), st.lists(PLAIN, min_size=1, max_size=2), max_size=3))
def test_what_cannot_be_asked_for_is_a_value_error(wanted: dict[str, list[Any]]) -> None:
    conditions = Conditions.of({"label": ["a", "b"], "age": [1.0, 80.0]}, ["label", "age"])
    try:
        encoded = conditions.encode(wanted)
    except ValueError:
        return
    assert set(wanted) <= {"label", "age"}
    assert encoded.shape[1] == 2


@pytest.mark.parametrize("value", [[], {}, "x" * 10_000])
def test_a_long_value_is_shown_in_brief(value: object) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(Config, {"data": {"size": value}}, where="here")
    assert len(str(caught.value)) < 300
