"""The page in a browser, used as a person would: each view opened and worked with, without a complaint."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from voxlex.data.dataset import PreparedDataset
from voxlex.explorer.lanes import Job
from voxlex.training.pictures import Shown, Strip

from .browser import Served, Watched, chromium
from .conftest import GOLDEN, MARKUP

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def served(run_folder: Path, scans: Path, other_run: Path) -> Iterator[Served]:
    server = Served(run_folder, scans, beside=other_run)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def window(browser: Browser) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.set_default_timeout(120_000)
    yield page
    page.close()


@pytest.fixture
def watched(window: Page, served: Served) -> Iterator[Watched]:
    one = Watched(window, served)
    yield one
    assert one.complaints == []


def drawn(page: Page, selector: str = ".stage canvas") -> str:
    """Return what a canvas shows."""
    return page.locator(selector).first.evaluate("canvas => canvas.toDataURL()")


def drawn_by(page: Page, number: int) -> str:
    """Return what one of several canvases shows."""
    shown: str = page.locator(".stage canvas").nth(number).evaluate("canvas => canvas.toDataURL()")
    return shown


def check_accessible(page: Page) -> None:
    violations = Axe().run(page).response["violations"]
    found = [(one["id"], [node["html"][:120] for node in one["nodes"][:3]]) for one in violations]
    assert found == []


def test_scans_are_filtered_sorted_and_opened_by_keyboard(watched: Watched) -> None:
    page = watched.open("")
    expect(page.locator(".rows")).to_have_text("20 scans")
    expect(page.locator(".tile")).to_have_count(20)
    page.wait_for_function("() => document.querySelectorAll('.measuring').length === 0")
    page.select_option("label:has-text('Split') select", "test")
    expect(page.locator(".rows")).to_have_text("2 of 20 scans")
    page.select_option("label:has-text('Split') select", "")
    page.select_option("label:has-text('Sort by') select", "ssim")
    figures = [float(text) for text in page.locator(".tile .figure").all_inner_texts()]
    assert figures == sorted(figures)
    assert len(figures) == 20
    page.keyboard.press("/")
    page.keyboard.type("onerror")
    expect(page.locator(".tile")).to_have_count(10)  # by its name, or by its remark
    page.fill("input[type=search]", '">.png')
    expect(page.locator(".tile").first).to_have_attribute("title", f"{MARKUP}.png")
    check_accessible(page)
    page.locator(".tile").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text(f"{MARKUP}.png")
    assert page.title() != "broken"
    page.go_back()
    expect(page.locator("input[type=search]")).to_have_value('">.png')


def test_a_codeword_is_exchanged_compared_and_taken_back(watched: Watched) -> None:
    page = watched.open("#/scan/4")
    expect(page.locator("dt:has-text('SSIM · PSNR')")).to_be_visible()
    stage = page.locator(".stage canvas")
    box = stage.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.62 * box["width"], box["y"] + 0.5 * box["height"])
    expect(page.locator(".word .big")).to_be_visible()
    page.mouse.click(box["x"] + 0.62 * box["width"], box["y"] + 0.5 * box["height"])
    expect(page.locator(".near button").first).to_be_visible()
    page.click("text=Reconstruction")
    page.mouse.move(5, 5)
    before = drawn(page)
    with page.expect_response(re.compile("decode")):
        page.locator(".near button").last.click()
    expect(page.locator(".edits")).to_contain_text("1 codeword exchanged")
    page.wait_for_function("before => document.querySelector('.stage canvas').toDataURL() !== before", arg=before)
    assert "edits=" in page.url
    after = drawn(page)
    page.reload()  # the address names the exchange
    expect(page.locator(".edits")).to_contain_text("1 codeword exchanged")
    page.click("text=Grid")
    page.click("text=Bits")
    expect(page.locator(".status")).to_contain_text("bits here")
    check_accessible(page)
    with page.expect_download() as saved:
        page.click("text=Save codes")
    assert saved.value.suggested_filename.endswith("-codes.parquet")
    page.click("text=Grid")
    page.click("text=Bits")
    page.keyboard.press("Control+z")
    expect(page.locator(".edits")).to_have_count(0)
    assert after != before


def test_the_view_zooms_and_windows(watched: Watched) -> None:
    page = watched.open("#/scan/4?show=original")
    page.wait_for_function(
        "() => new Set(document.querySelector('.stage canvas')?.getContext('2d')"
        ".getImageData(200, 200, 300, 300).data).size > 4"
    )
    box = page.locator(".stage canvas").bounding_box()
    assert box is not None
    first = drawn(page)
    page.mouse.move(box["x"] + 300, box["y"] + 300)
    page.mouse.wheel(0, -400)
    expect(page.locator(".status")).to_contain_text("2.2×")
    expect(page).to_have_url(re.compile(r"view=2\.2"))
    second = drawn(page)
    page.mouse.down(button="right")
    page.mouse.move(box["x"] + 360, box["y"] + 340, steps=3)
    page.mouse.up(button="right")
    third = drawn(page)
    assert len({first, second, third}) == 3
    page.keyboard.press("0")
    expect(page.locator(".status")).to_contain_text("L 50 · W 100 · 1.0×")
    page.keyboard.press("ArrowRight")
    expect(page).to_have_url(re.compile("scan/5"))


def test_two_runs_are_seen_on_the_same_scan(watched: Watched) -> None:
    page = watched.open("#/scan/4")
    page.click("text=Beside <b>coarse")  # markup in a name stays text
    expect(page.locator(".stage canvas")).to_have_count(6)
    cells = page.locator(".measures tbody tr td")
    expect(page.locator(".measures tr:has-text('SSIM') td").last).to_have_text(re.compile(r"\d\.\d{4}"))
    assert cells.locator("text=/8×8 of/").count() == 1
    assert cells.locator("text=/4×4 × 2 of/").count() == 1
    expect(page.locator(".measures tr:has-text('Bits, with prior') td").last).to_have_text("no prior")
    page.wait_for_function(
        "() => [...document.querySelectorAll('.stage canvas')].every(canvas => new Set(canvas.getContext('2d')"
        ".getImageData(0, 0, canvas.width, canvas.height).data).size > 4)"
    )
    pictures = [drawn_by(page, number) for number in range(6)]
    assert len(set(pictures)) == 6
    box = page.locator(".stage canvas").nth(1).bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 0.6 * box["width"], box["y"] + 0.5 * box["height"])
    expect(page.locator(".one-side .word .big")).to_have_count(2)
    page.mouse.wheel(0, -400)
    expect(page.locator(".status")).to_contain_text("2.2×")
    assert all(drawn_by(page, number) != pictures[number] for number in range(6))
    page.click("text=Grid")
    page.click("text=Bits >> visible=true")
    expect(page.locator(".status")).to_contain_text("bits")
    expect(page).to_have_url(re.compile(r"at=.*view=2\.2"))
    check_accessible(page)
    page.keyboard.press("w")
    expect(page.locator(".stage canvas")).to_have_count(1)
    seen = page.url
    page.reload()  # the address names the place, the zoom and what is shown
    expect(page.locator(".one-side .word .big")).to_have_count(2)
    expect(page.locator(".status")).to_contain_text("2.2×")
    assert page.url == seen


def test_the_vocabulary_is_a_map_to_click(watched: Watched) -> None:
    page = watched.open("#/words")
    expect(page.locator(".map canvas")).to_be_visible()
    expect(page.locator(".status")).to_contain_text("codewords in use")
    page.locator(".map canvas").click(position={"x": 200, "y": 200})
    expect(page.locator(".word .big")).to_be_visible()
    assert "word=" in page.url
    first = page.locator(".word .big").inner_text()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".word .big")).not_to_have_text(first)
    page.click("text=How often they are used")
    check_accessible(page)


def test_new_images_are_drawn_under_a_condition(watched: Watched) -> None:
    page = watched.open("#/new?count=2")
    page.select_option("label:has-text('label') select", index=1)
    page.click("button.primary")
    expect(page.locator(".new")).to_have_count(2)
    expect(page.locator(".new .beside a").first).to_contain_text(re.compile("nearest|near copy"))
    page.reload()
    expect(page.locator(".new")).to_have_count(2)
    check_accessible(page)
    with page.expect_download() as saved:
        page.locator(".new button").first.click()
    assert saved.value.suggested_filename == "sample-0.png"
    page.click("text=Discard")
    expect(page.locator(".new")).to_have_count(0)


def test_an_image_is_seen_while_it_is_drawn(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = Job.progress

    def slow(job: Job, done: int, total: int) -> None:
        time.sleep(0.1)
        usual(job, done, total)

    monkeypatch.setattr(Job, "progress", slow)
    page = watched.open("#/new?count=30")
    page.click("button.primary")
    expect(page.locator(".drawing canvas")).to_be_visible()
    page.reload()  # the drawing goes on meanwhile
    expect(page.locator(".drawing canvas")).to_be_visible()
    check_accessible(page)
    page.click("text=Cancel")
    expect(page.locator(".batch .dim:has-text('cancelled')")).to_be_visible()
    expect(page.locator(".drawing")).to_have_count(0)
    page.click("text=Discard")
    expect(page.locator(".batch")).to_have_count(0)


def test_a_region_is_painted_and_drawn(watched: Watched) -> None:
    page = watched.open("#/region/4?count=2")
    expect(page.locator("button.primary")).to_be_disabled()
    box = page.locator(".stage canvas").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 0.5 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.5 * box["height"], steps=4)
    page.mouse.up()
    page.click("text=Redraw the region")
    expect(page.locator(".versions li")).to_have_count(2)
    first = drawn(page)
    page.keyboard.press("ArrowRight")
    assert drawn(page) != first
    page.click("text=Deviation")
    expect(page.locator(".status")).to_contain_text("0.15")
    check_accessible(page)
    page.reload()  # the region comes back, too
    expect(page.locator("button.primary")).to_be_enabled()


def test_a_training_shows_its_figures(watched: Watched, run_folder: Path, scans: Path) -> None:
    page = watched.open("#/training?stage=autoencoder")
    expect(page.locator(".validations .facts")).to_contain_text("step 3 · 3 s · SSIM 1.000")
    newest = drawn(page, ".validations canvas")
    page.locator(".validations input").focus()
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".validations output")).to_have_text("2 of 3")
    page.wait_for_function("before => document.querySelector('.validations canvas').toDataURL() !== before", arg=newest)
    assert "step=2" in page.url
    page.keyboard.press("ArrowRight")
    x = PreparedDataset.open(scans).tensor([0, 1, 2])
    strip = Strip(run_folder / "autoencoder.validations.png", resumed_step=3)
    strip.add(Shown.of(x, 1 - x), step=40, elapsed_s=5, figures={"ssim": 0.125})
    expect(page.locator(".validations .facts")).to_contain_text("step 40 · 5 s · SSIM 0.125")  # without a reload
    expect(page.locator(".chart h2").first).to_be_visible()
    assert page.locator(".chart polyline").count() > 1
    check_accessible(page)
    page.click("text=Light")
    check_accessible(page)
    page.click("text=Light")


def test_a_volume_is_shown_in_planes(browser: Browser) -> None:
    server = Served(GOLDEN / "volumes", GOLDEN / "prepared-volumes", beside=GOLDEN / "volumes")
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    one = Watched(page, server)
    try:
        one.open("")
        page.locator(".tile").first.click()
        expect(page.locator(".planes canvas")).to_have_count(2)
        page.wait_for_function(
            "() => [...document.querySelectorAll('.planes canvas')].every(canvas => canvas.width > 300)"
        )
        canvas = page.locator(".planes canvas").first
        page.wait_for_timeout(1000)
        before = canvas.screenshot()
        canvas.hover(position={"x": 150, "y": 150})
        page.mouse.wheel(0, 120)
        page.wait_for_timeout(300)
        assert canvas.screenshot() != before
        page.click("text=Difference")
        page.wait_for_load_state("networkidle")
        check_accessible(page)
        page.click("text=Beside")
        expect(page.locator(".planes canvas")).to_have_count(3)
        expect(page.locator(".compared p:has-text('SSIM')")).to_have_count(2)
        page.wait_for_load_state("networkidle")
        check_accessible(page)
    finally:
        page.close()
        server.stop()
    assert one.complaints == []


def test_the_page_goes_on_when_the_server_comes_back(watched: Watched) -> None:
    page = watched.open("#/scans")
    expect(page.locator(".tile")).to_have_count(20)
    watched.allowed = True  # the browser complains of requests that nobody answers
    watched.served.stop()
    expect(page.locator(".problem")).to_contain_text("does not answer")
    watched.served.start()
    expect(page.locator(".problem")).to_have_count(0)
    page.locator(".tile").nth(3).click()
    expect(page.locator("dt:has-text('SSIM · PSNR')")).to_be_visible()


@pytest.mark.parametrize("size", [(820, 1180), (2560, 1440)])
def test_nothing_is_cut_off_on_other_screens(watched: Watched, size: tuple[int, int]) -> None:
    page = watched.page
    page.set_viewport_size({"width": size[0], "height": size[1]})
    for view in ("#/scans", "#/scan/4", "#/beside/4", "#/words", "#/new", "#/training"):
        watched.open(view)
        page.wait_for_timeout(150)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), view
    page.set_viewport_size({"width": 1280, "height": 800})
