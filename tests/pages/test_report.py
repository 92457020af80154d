import html
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch

from voxlex.codes import CodeLayout
from voxlex.errors import DataError
from voxlex.pages.report import ClosePair, ReportContent, _generation_rows, render_report, write_report

VOID = {"meta", "img", "br", "link", "input", "hr"}
FIGURES = {
    "reconstruction.ssim": 0.9571,
    "reconstruction.psnr_db": 33.31,
    "reconstruction.l1": 0.0112,
    "codebook.perplexity": 436.2,
    "codebook.usage": 0.984,
    "rate_bpp": 0.5625,
    "n_images": 192,
}
PRIOR_FIGURES = {
    "prior.bits_per_code": 5.71,
    "prior.marginal_bits_per_code": 8.44,
    "prior.uniform_bits_per_code": 9.0,
    "prior.rate_bpp": 0.357,
}


class Page(HTMLParser):
    """Reads a page, checks that its elements nest, and keeps what the tests ask for."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(source)
        assert self.open == [], "elements left open"

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words += " " + " ".join(data.split())

    def images(self) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.elements if tag == "img"]


def images(count: int, *, side: int = 32, channels: int = 1) -> torch.Tensor:
    return torch.rand(count, channels, side, side, generator=torch.Generator().manual_seed(count))


@pytest.fixture
def without_prior() -> ReportContent:
    return ReportContent(
        title="A vocabulary of phantoms",
        figures=FIGURES,
        split="test",
        layouts=[CodeLayout(num_embeddings=512, grid=(32, 32))],
        originals=images(3),
        reconstructions=images(3).mul(0.9),
        paths=["sub-001/slice-01.png", "sub-001/slice-02.png", "sub-002/slice-01.png"],
        code_counts=[torch.arange(512).view(1, -1)],
    )


@pytest.fixture
def full(without_prior: ReportContent, journal: list[dict[str, str]]) -> ReportContent:
    return replace(
        without_prior,
        figures=FIGURES | PRIOR_FIGURES,
        samples=images(5),
        sample_captions=["glioma", "notumor", "glioma", "notumor", "pituitary"],
        real=images(4),
        journal=journal,
        facts={"Data": {"source": "phantom", "fingerprint": "3f9a5f"}, "Training": {"time": "5 min"}},
        warnings=["Only 192 images were measured."],
    )


def test_everything_that_was_given_is_shown(full: ReportContent):
    page = Page(render_report(full))
    for expected in (
        *(
            "A vocabulary of phantoms",
            "0.9571",
            "33.31",
            "0.0112",
            "436.2",
            "98.4%",
            "0.562",
            "5.710",
            "8.440",
            "9.000",
        ),
        *("sub-001/slice-02.png", "glioma", "pituitary", "3f9a5f", "5 min", "Only 192 images were measured."),
        *("1711.00937", "1606.05328"),
    ):
        assert expected in page.words
    assert len(page.images()) == 3 + 5 + 4 + 6, "reconstructions, samples, images of the data, curves"


def test_the_summary_says_what_an_image_becomes(full: ReportContent):
    words = Page(
        render_report(
            replace(full, originals=images(3, side=128), reconstructions=images(3, side=128), samples=None, real=None)
        )
    ).words
    assert "Each 128×128 image is stored as 1,024 codes from a vocabulary of 512 codewords" in words
    assert "14.2 times smaller" in words
    assert "192 images were reconstructed from their codes, with a mean SSIM of 0.957" in words


def test_nothing_outside_the_file_is_needed(full: ReportContent):
    source = render_report(full)
    page = Page(source)
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.elements}
    assert all(image["src"].startswith("data:image/") for image in page.images())
    assert "url(" not in source
    assert "@import" not in source


def test_every_picture_is_described_in_words(full: ReportContent):
    descriptions = [image["alt"] for image in Page(render_report(full)).images()]
    assert all(descriptions)
    assert len(set(descriptions)) == len(descriptions)


def test_text_from_outside_cannot_become_markup(full: ReportContent):
    hostile = '"><script>alert(1)</script>'
    content = replace(
        full, title=hostile, paths=[hostile] * 3, sample_captions=[hostile] * 5, warnings=[hostile],
        facts={hostile: {hostile: hostile}}, figures=full.figures | {hostile: 1.0},
    )  # fmt: skip
    source = render_report(content)
    assert "<script" not in source
    assert source.count(html.escape("<script>")) >= 9
    Page(source)


def test_a_run_without_prior_has_no_empty_parts(without_prior: ReportContent):
    page = Page(render_report(without_prior))
    assert "New images" not in page.words
    assert "Settings" not in page.words
    assert "Prior" not in page.words
    assert "does not have a prior yet" in page.words
    assert len(page.images()) == 3 + 1


def test_samples_can_stand_alone(full: ReportContent):
    page = Page(render_report(replace(full, real=None, sample_captions=None)))
    assert "Samples" in page.words
    assert "From the data" not in page.words


@pytest.mark.parametrize(
    ("split", "expected"),
    [("test", "not used to train"), ("all", "make the figures look better"), ("validation", "the validation split")],
)
def test_the_notes_say_what_was_measured(without_prior: ReportContent, split: str, expected: str):
    assert expected in Page(render_report(replace(without_prior, split=split))).words


def test_figures_of_later_versions_and_figures_without_value_are_not_hidden(without_prior: ReportContent):
    figures = FIGURES | {
        "generation.fid": 12.345,
        "reconstruction.psnr_db": float("inf"),
        "codebook.usage": float("nan"),
    }
    words = Page(render_report(replace(without_prior, figures=figures))).words
    assert re.search(r"generation\.fid\s+12\.3[45]", words)
    assert "∞" in words
    assert "not measured" in words


def test_intervals_stand_below_their_figures(without_prior: ReportContent):
    figures = without_prior.figures | {"reconstruction.ssim_low": 0.9512, "reconstruction.ssim_high": 0.9618}
    words = Page(render_report(replace(without_prior, figures=figures))).words
    assert "SSIM 0.9571 0.9512 to 0.9618" in words
    assert "reconstruction." not in words


def test_judged_samples_stand_beside_real_images_and_their_closest(full: ReportContent):
    names = ["swd", "frechet", "precision", "coverage", "c2st", "ms_ssim", "copies"]
    judged = {f"generation.{name}": 0.75 for name in names}
    judged |= {f"{key}_floor": 0.5 for key in judged} | {"generation.c2st_reconstructed": 0.625}
    judged |= {"generation.n_samples": 128, "generation.n_compared": 96, "generation.c2st_p_value": 0.01}
    side = full.originals.shape[-1]
    pairs = [ClosePair(*images(2, side=side), "training image 7 · sample 3 · distance 0.012")]
    spectra = {"images": torch.ones(8), "reconstructions": torch.full((8,), 0.5)}
    content = replace(full, figures=full.figures | judged, pairs=pairs, features="deep", spectra=spectra)
    page = Page(render_report(content))
    rows = {row.name: [cell.value for cell in row.cells] for row in _generation_rows(content.figures)}
    assert rows["Sliced Wasserstein"] == ["0.750", "", "0.500"]
    assert rows["Classifier"] == ["75.0%", "62.5%", "50.0%"]
    assert "75.0% 62.5% 50.0%" in page.words
    assert (
        "A classifier can tell samples from real images in 75% of cases (reconstructions of real images: 62%; real "
        "images from other real images: 50%" in page.words
    )
    assert "EfficientNet" in page.words
    assert any("of images, reconstructions" in str(picture["alt"]) for picture in page.images())
    assert "training image 7 · sample 3 · distance 0.012" in page.words
    assert "generation." not in page.words


@pytest.mark.parametrize(("count", "side", "channels"), [(1, 128, 1), (12, 128, 1), (2, 300, 1), (9, 64, 3)])
def test_images_of_any_number_size_and_colour_are_shown_at_whole_multiples(
    without_prior: ReportContent, count: int, side: int, channels: int
):
    shown = images(count, side=side, channels=channels)
    content = replace(without_prior, originals=shown, reconstructions=shown, paths=["x.png"] * count)
    source = render_report(content)
    (width,) = re.findall(r"\.triptychs \{[^}]*minmax\(0, (\d+)px\)", source)
    assert int(width) % (3 * side + 4) == 0
    assert len(Page(source).images()) == count + 1


def test_the_file_is_replaced_whole_or_not_at_all(tmp_path: Path, full: ReportContent):
    path = tmp_path / "run" / "report.html"
    write_report(path, full)
    assert path.read_text(encoding="utf-8") == render_report(full)
    with pytest.raises(ValueError, match="argument"):
        write_report(path, replace(full, paths=["too few"]))
    assert path.read_text(encoding="utf-8") == render_report(full)
    assert list(path.parent.iterdir()) == [path]


def test_an_unwritable_place_is_one_clear_error(tmp_path: Path, without_prior: ReportContent):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(DataError, match=r"report\.html: cannot be written"):
        write_report(tmp_path / "taken" / "report.html", without_prior)


def test_what_is_read_of_labels_stands_in_a_table_of_its_own(full: ReportContent):
    assert "What can be read of the label" not in render_report(full)
    figures = {"label.n_images": 638, "label.n_groups": 512, "label.n_classes": 4}
    for number, what in enumerate(("codes", "images", "reconstructions", "shuffled")):
        figures |= {f"label.{what}.auroc": 0.9 - number / 10, f"label.{what}.balanced_accuracy": 0.8 - number / 10}
    figures |= {"label.images.auroc_low": 0.731, "label.images.auroc_high": 0.842}
    page = Page(render_report(replace(full, figures=full.figures | figures)))
    for words in (
        "What can be read of the label",
        "4 classes of 638 held-out images",
        "512 subjects or groups",
        "0.731 to 0.842",
    ):
        assert words in page.words
    assert "Fewer real images" not in page.words
    assert "label." not in page.words
