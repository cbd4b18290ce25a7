"""Files behind addresses are downloaded once, or it is said once why not."""

from __future__ import annotations

import functools
import http.server
import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import tqdm

from cascade_rpn_d2.files.download import local_path


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Of a server on this machine with the file ``a.bin``."""
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "a.bin").write_bytes(b"content")
    handler = functools.partial(Handler, directory=str(tmp_path / "served"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_file_is_downloaded_once(address, tmp_path):
    first = local_path(f"{address}/a.bin")
    assert Path(first).read_bytes() == b"content" and Path(first).is_relative_to(tmp_path / "cache")
    (tmp_path / "served" / "a.bin").unlink()
    assert local_path(f"{address}/a.bin") == first


def test_a_path_stays_what_it_is(tmp_path):
    assert local_path("a/b.pth") == "a/b.pth"
    assert local_path(str(tmp_path)) == str(tmp_path)


@pytest.mark.parametrize(
    ("rest", "reason"), [("/b.bin", "HTTP Error 404"), ("/\x1b[2J", "control characters")]
)
def test_a_failure_is_one_sentence_and_nothing_else(address, rest, reason, capfd, caplog):
    bar = tqdm.tqdm
    with pytest.raises(OSError, match="^Cannot get .*: check the address and the conn") as caught:
        local_path(address + rest)
    assert reason in str(caught.value) and str(caught.value).isprintable()
    assert not capfd.readouterr().err and not caplog.records
    assert tqdm.tqdm is bar and not logging.getLogger("iopath.common.download").filters


def test_an_unknown_host_and_an_unknown_entry_are_named_too(monkeypatch, tmp_path):
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path))
    for address in ("http://127.0.0.1:9/a.pth", "catalog://nothing"):
        with pytest.raises(OSError, match=f"^Cannot get {address} .*"):
            local_path(address)
