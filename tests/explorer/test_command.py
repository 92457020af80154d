"""The command: what it refuses, where it listens, and how it ends."""

import builtins
import ipaddress
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from voxlex.cli import main
from voxlex.errors import DataError
from voxlex.explorer.serve import listening, reachable


def test_what_is_not_a_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explore", str(tmp_path), "--no-browser"]) == 1
    assert "expected a run folder" in capsys.readouterr().err


def test_a_port_that_cannot_be_used_is_named(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explore", str(run_folder), "--no-browser", "--port", "70000"]) == 1
    assert "expected a port from 0 to 65535, got 70000" in capsys.readouterr().err
    with listening("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        assert main(["explore", str(run_folder), "--no-browser", "--port", str(port)]) == 1
        assert f"127.0.0.1:{port}: cannot listen there" in capsys.readouterr().err
        with listening("127.0.0.1", port, otherwise_any=True) as another:
            assert another.getsockname()[1] != port
    with pytest.raises(DataError, match=f"192.0.2.1:{port}: cannot listen there"):  # not an address of this machine
        listening("192.0.2.1", port, otherwise_any=True)


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_every_address_is_named_by_one_that_a_browser_can_open(host: str) -> None:
    named = ipaddress.ip_address(reachable(host))
    assert not named.is_unspecified
    assert named.version == ipaddress.ip_address(host).version
    assert reachable("127.0.0.1") == "127.0.0.1"
    assert reachable("box.example") == "box.example"


def test_a_machine_without_a_network_names_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*arguments: object) -> None:
        raise OSError("Network is unreachable")

    monkeypatch.setattr(socket.socket, "connect", unreachable)
    assert [reachable(host) for host in ("0.0.0.0", "::")] == ["127.0.0.1", "::1"]


def test_a_missing_extra_is_named(
    run_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = builtins.__import__

    def without(name: str, *arguments: Any, **options: Any) -> Any:
        if name.startswith("voxlex.explorer"):
            raise ModuleNotFoundError("No module named 'uvicorn'", name="uvicorn")
        return usual(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    assert main(["explore", str(run_folder)]) == 1
    assert "pip install 'voxlex[explore]'" in capsys.readouterr().err


@pytest.mark.skipif(os.name != "posix", reason="needs signals of Unix")
def test_it_prints_its_address_and_ends_with_ctrl_c(run_folder: Path, scans: Path) -> None:
    words = ["-m", "voxlex", "explore", str(run_folder), str(scans), "--no-browser", "--port", "0"]
    process = subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    address = re.search(r"http://127\.0\.0\.1:\d+/", process.stdout.readline())
    assert address is not None
    with urllib.request.urlopen(f"{address[0]}api/run", timeout=300) as answer:
        assert answer.status == 200
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=300)
    assert "Traceback" not in errors
    assert process.returncode in (0, 130)
