"""Codes of several levels: each comes back by either coder, and the coarsest alone gives a preview."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from two_levels import untrained, vocabulary
from voxlex import Frame, open_source
from voxlex.archive.archive import Archive
from voxlex.archive.content import Content
from voxlex.archive.tables import Tables
from voxlex.assembly import build_prior
from voxlex.config.options import PhantomOptions
from voxlex.config.priors import TransformerPriorConfig
from voxlex.data.phantoms.phantom import PhantomSource
from voxlex.priors import Conditions
from voxlex.workflows.pack import pack


@pytest.mark.parametrize("coder", ["table", "prior"])
def test_each_level_comes_back_and_the_coarsest_alone(coder: str, tmp_path: Path) -> None:
    model, config = untrained(), TransformerPriorConfig(width=16, layers=1, kernel_size=3, embedding_dim=4)
    prior = build_prior(config, layouts=model.layouts((32, 32)), conditions=Conditions())
    words = vocabulary(model, prior.eval())
    dataset = open_source(PhantomSource(PhantomOptions(subjects=3, slices=2)), Frame(size=32))
    packed = pack(tmp_path / "run", words, dataset, out=tmp_path / "scans.vxl", coder=coder)
    assert packed.coders == {coder: 6}
    content = Content.open(tmp_path / "scans.vxl")
    held = content.read_tables()
    assert held is not None
    archive = Archive(content, vocabulary=words, tables=Tables.from_bytes(held))
    expected = words.encode(dataset.tensor())
    for number in range(6):
        codes = archive.codes(number)
        assert isinstance(codes, tuple)
        assert all(torch.equal(own, level[number : number + 1]) for own, level in zip(codes, expected, strict=True))
        assert torch.equal(archive.codes(number, levels=1), codes[0])
    coarse = archive.preview(2)
    assert coarse.shape == (1, 1, 32, 32)
    # A preview needs nothing of the finer levels.
    record = content.record(2)
    finest = tuple(b"" for _ in record.streams[-1])
    bare = archive.codes_of([replace(record, streams=(*record.streams[:-1], finest))], levels=1)
    assert torch.equal(torch.from_numpy(bare[0][0]), archive.codes(2, levels=1))
