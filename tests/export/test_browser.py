"""The page of the docs decodes codes in a browser, with the runtime beside it."""

import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch

from explorer.browser import chromium
from voxlex import load

from .conftest import RUN, Exported

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "export" / "decoder.html"
RUNTIME = HERE / "node_modules" / "onnxruntime-web" / "dist"
FILES = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")


class Quiet(SimpleHTTPRequestHandler):
    extensions_map: ClassVar = {
        **SimpleHTTPRequestHandler.extensions_map,
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
    }

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def address(exported: Exported, tmp_path: Path) -> Iterator[str]:
    """A server of a folder with the page, the exported graphs and the runtime."""
    folder = tmp_path / "exported"
    shutil.copytree(exported.folder, folder)
    for file in (PAGE, *[RUNTIME / name for name in FILES]):
        shutil.copy(file, folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.skipif(not RUNTIME.exists(), reason="needs `npm ci` in tests/export")
def test_the_page_shows_what_the_vocabulary_decodes(address: str) -> None:
    vocabulary = load(RUN)
    (layout,) = vocabulary.layouts
    codes = (torch.arange(layout.codes_per_image) * 7 % layout.num_embeddings).view(1, *layout.shape)
    expected = vocabulary.decode(codes).numpy()
    asked = []
    with chromium() as browser:
        page = browser.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{address}decoder.html")
        page.wait_for_function("document.getElementById('said').value.endsWith('pixels')")
        found = page.evaluate("async () => Array.from((await decode((cell, k) => cell * 7 % k)).data)")
        sides = page.evaluate("[document.getElementById('image').width, document.getElementById('image').height]")
    np.testing.assert_allclose(np.float32(found).reshape(expected.shape), expected, rtol=0, atol=1e-4)
    assert sides == [*vocabulary.space]
    assert all(url.startswith(address) for url in asked if url.startswith("http"))
