"""How fast the explorer is: first paint, scrolling, pointing at cells, exchanging codewords, and many clients at once.

    python benchmarks/explorer.py RUN SOURCE
    python benchmarks/explorer.py runs/demo phantom --beside brain-mri-128 --pictures docs/images/explorer

The second form also makes the screenshots of docs/explorer.md; a run of volumes makes the one of volumes. With
`--pictures-only` it measures nothing. All need the test extra and Chromium.
"""

import argparse
import json
import re
import shutil
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync"]

_FRAMES = """async () => {
    const wall = document.querySelector('.wall'), times = [];
    let last = performance.now();
    for (let frame = 0; frame < 120; frame++) {
        wall.scrollTop += 60;
        await new Promise(requestAnimationFrame);
        const now = performance.now();
        times.push(now - last);
        last = now;
    }
    return times;
}"""


# Whether more than the upper half of an image that is being drawn is there; the rest is of one grey.
_HALF_DRAWN = """() => {
    const canvas = document.querySelector('.drawing canvas');
    if (!canvas) return false;
    const line = canvas.getContext('2d').getImageData(0, Math.round(0.6 * canvas.height), canvas.width, 1).data;
    return line[3] === 255 && line.some((value, index) => index % 4 < 3 && Math.abs(value - 41) > 3);
}"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ask(address: str, body: Any = None, *, tab: str = "benchmark") -> tuple[int, float]:
    """Return the status of an answer, and the seconds that it took."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data=data, headers={"x-voxlex-tab": tab})
    start = time.perf_counter()
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            answer.read()
            status = answer.status
    except urllib.error.HTTPError as error:
        status = error.code
    return status, time.perf_counter() - start


def median_ms(work: Callable[[int], Any], times: int = 30) -> str:
    found = []
    for number in range(times):
        start = time.perf_counter()
        work(number)
        found.append(1000 * (time.perf_counter() - start))
    found.sort()
    return f"{statistics.median(found):.0f} ms (95 %: {found[int(0.95 * times)]:.0f} ms)"


def memory_mb(process: int) -> float:
    status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) / 1024


def crowd(address: str, *, clients: int, each: int) -> str:
    """Let several clients ask for many things at once; return how many were answered, and how soon."""

    def one(number: int) -> tuple[int, float]:
        row, tab = number * 37 % 500, f"tab-{number % clients}"
        match number % 4:
            case 0:
                return ask(f"{address}api/scan/{row}/decode", {"edits": [{"cell": number % 64, "code": 3}]}, tab=tab)
            case 1:
                return ask(f"{address}api/thumbs/{number % 8}", tab=tab)
            case 2:
                return ask(f"{address}api/scan/{row}", tab=tab)
            case _:
                return ask(f"{address}api/word/0/0/{number % 512}", tab=tab)

    with ThreadPoolExecutor(clients) as pool:
        found = list(pool.map(one, range(clients * each)))
    seconds = sorted(second for _, second in found)
    refused = sum(status == 503 for status, _ in found)
    failed = sum(status not in (200, 503) for status, _ in found)
    median = 1000 * seconds[len(seconds) // 2]
    return f"{len(found)} requests, {failed} errors, {refused} told to wait; median {median:.0f} ms"


def look(page: Page, address: str) -> None:
    """Measure the page."""
    start = time.perf_counter()
    page.goto(address)
    page.wait_for_function(
        "() => [...document.querySelectorAll('.strip canvas')].some(canvas => canvas.width && "
        "canvas.getContext('2d').getImageData(0, 0, canvas.width, 1).data.some(value => value))"
    )
    print(f"| first scans are seen | {time.perf_counter() - start:.2f} s |")
    frames = sorted(page.evaluate(_FRAMES))
    print(
        f"| scrolling, one screen every 13 frames | median {1000 / frames[60]:.0f} frames a second, "
        f"slowest of a hundred {frames[118]:.0f} ms |"
    )
    page.goto(f"{address}#/scan/3")
    page.wait_for_selector(".stage canvas")
    page.wait_for_timeout(2000)
    box = page.locator(".stage canvas").bounding_box()
    assert box is not None

    def point(number: int) -> None:
        with page.expect_response(re.compile("/api/word/")):
            page.mouse.move(
                box["x"] + (0.25 + 0.5 * (number * 0.37 % 1)) * box["width"],
                box["y"] + (0.25 + 0.5 * (number * 0.61 % 1)) * box["height"],
            )

    print(f"| pointing at a cell, until its codeword is there | {median_ms(point, 15)} |")


def shoot(page: Page, address: str, folder: Path, *, beside: bool) -> None:
    """Make the screenshots of the documentation."""
    folder.mkdir(parents=True, exist_ok=True)

    def to(view: str, name: str, act: Callable[[], Any] = lambda: None, wait: int = 1500) -> None:
        page.goto("about:blank")
        page.goto(f"{address}{view}")
        page.wait_for_timeout(wait)
        act()
        page.wait_for_timeout(600)
        page.screenshot(path=folder / f"{name}.png")

    to("#/scans?sort=ssim", "scans")
    to("#/scan/3?bits=1&grid=1&cell=500", "scan", wait=2500)

    def point_at_map() -> None:
        page.wait_for_selector(".map canvas", timeout=120_000)
        page.mouse.click(500, 400)
        page.wait_for_selector(".word .big", timeout=120_000)

    to("#/words", "words", point_at_map)
    to("#/training?stage=autoencoder", "training")
    if beside:
        to("#/beside/3?grid=1&at=0.45_0.5", "beside", wait=4000)
    to("#/new", "new", lambda: page.click("button.primary"), wait=1500)
    page.wait_for_function("() => document.querySelectorAll('.new:not(.drawing)').length >= 2", timeout=120_000)
    page.wait_for_function(_HALF_DRAWN, timeout=120_000)
    page.screenshot(path=folder / "new.png")
    page.wait_for_function("() => document.querySelectorAll('.drawing').length === 0", timeout=120_000)

    def paint() -> None:
        page.mouse.move(430, 400)
        page.mouse.down()
        page.mouse.move(520, 430, steps=8)
        page.mouse.up()
        page.click("text=Redraw the region")
        page.wait_for_function("() => document.querySelectorAll('.versions li').length >= 6", timeout=180_000)
        page.click("text=Deviation")

    to("#/region/3", "region", paint)


def shoot_volume(page: Page, address: str, folder: Path) -> None:
    """Make the screenshot of a run of volumes."""
    folder.mkdir(parents=True, exist_ok=True)
    page.goto(f"{address}#/scan/3")
    page.wait_for_selector(".planes canvas", timeout=120_000)
    page.wait_for_timeout(6000)
    page.screenshot(path=folder / "volumes.png")


def wait_for_survey(address: str, *, whole: bool) -> None:
    """Wait until some scans are encoded, or all are encoded and scored."""
    while True:
        with urllib.request.urlopen(f"{address}api/figures?encoded=1&scored=0") as answer:
            found = json.load(answer)
        scored = found["scored"] >= found["total"] or not found["scores"]
        if found["encoded"] >= (found["total"] if whole else 64) and (scored or not whole):
            return
        time.sleep(0.5)


def measure_server(address: str) -> None:
    """Measure what the server answers without a page."""
    edits = [{"edits": [{"cell": number, "code": number % 64}]} for number in range(30)]
    exchanged = median_ms(lambda n: ask(f"{address}api/scan/3/decode", edits[n]))
    print(f"| exchanging a codeword, on the server | {exchanged} |")
    described = median_ms(lambda n: ask(f"{address}api/word/0/0/{7 * n}"))
    print(f"| describing a codeword, on the server | {described} |")
    print(f"| 8 clients at once | {crowd(address, clients=8, each=50)} |")
    print(f"| 1,000 requests at once | {crowd(address, clients=100, each=10)} |")


@contextmanager
def opened() -> Iterator[Page]:
    """Open an empty page in a browser."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser.new_page(viewport={"width": 1280, "height": 800})
        browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("source")
    parser.add_argument("--beside")
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--pictures-only", action="store_true")
    parser.add_argument("--wait", action="store_true", help="measure when all scans are encoded and scored")
    arguments = parser.parse_args()
    port = free_port()
    address = f"http://127.0.0.1:{port}/"
    command = [sys.executable, "-m", "voxlex", "explore", arguments.run, arguments.source, "--no-browser"]
    command += ["--beside", arguments.beside] if arguments.beside else []
    start = time.perf_counter()
    server = subprocess.Popen([*command, "--port", str(port)], stdout=subprocess.DEVNULL)
    try:
        while True:
            try:
                with urllib.request.urlopen(f"{address}api/run") as answer:
                    run = json.load(answer)
            except OSError:
                time.sleep(0.1)
                continue
            if run["loaded"] and run["scans"] and not run["opening"]["phase"]:
                break
            time.sleep(0.1)
        if not arguments.pictures_only:
            print(f"| what | figure, {run['scans']:,} scans |\n|---|---|")
            print(f"| from the command until everything is open | {time.perf_counter() - start:.1f} s |")
        wait_for_survey(address, whole=arguments.wait)
        if not arguments.pictures_only:
            if arguments.wait:
                print(f"| until every scan is encoded and scored | {time.perf_counter() - start:.0f} s |")
            measure_server(address)
        with opened() as page:
            flat = len(run["space"]) == 2
            if flat and not arguments.pictures_only:
                look(page, address)
            if arguments.pictures is not None and flat:
                shoot(page, address, arguments.pictures, beside=arguments.beside is not None)
            elif arguments.pictures is not None:
                shoot_volume(page, address, arguments.pictures)
        if not arguments.pictures_only:
            print(f"| memory of the server | {memory_mb(server.pid):.0f} MB |")
    finally:
        server.terminate()
        server.wait(timeout=60)


if __name__ == "__main__":
    main()
