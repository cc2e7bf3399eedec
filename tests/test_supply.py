"""The bill of materials and the audit: the real uv, against a vulnerability service of our own or none at all."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.contained import uv_cache
from tests.running import free_port
from tools import supply
from tools.supply import ALLOWED, Allowed, audit, locked, project, read_allowed, sbom

KNOWN, PACKAGE = "GHSA-2222-3333-4444", "tornado"
TODAY = date(2026, 6, 15)
ENTRY = Allowed(KNOWN, PACKAGE, "not reached", date(2026, 6, 15))
LOCK = "a2wsgi==1.10.10 \\\n    --hash=sha256:00\ntornado==6.6.1\ncolorama==0.4.6 ; sys_platform == 'win32'\n"


@pytest.fixture(autouse=True)
def _a_small_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three pins; skipped where uv can get neither them nor word of them."""
    monkeypatch.setenv("UV_CACHE_DIR", uv_cache())
    monkeypatch.setattr(supply, "LOCKS", tmp_path)
    (tmp_path / "small.txt").write_text(LOCK)
    with project("small") as folder:
        why = locked(folder)
    if why:
        pytest.skip(f"uv cannot resolve three pins here: {why[-200:]}")


class Service(BaseHTTPRequestHandler):
    """Speaks OSV's protocol and knows one thing against one package."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["queries"]
        found = {"vulns": [{"id": KNOWN, "modified": "2026-01-01T00:00:00Z"}]}
        self._answer({"results": [found if one["package"]["name"] == PACKAGE else {} for one in asked]})

    def do_GET(self) -> None:
        self._answer({"id": KNOWN, "modified": "2026-01-01T00:00:00Z", "summary": "bad", "affected": []})

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _answer(self, document: object) -> None:
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def osv() -> Iterator[list[str]]:
    """Options that send uv to the service."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Service) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield ["--no-cache", "--service-url", f"http://127.0.0.1:{server.server_port}/"]
        server.shutdown()


@pytest.mark.parametrize(
    ("allowed", "expected", "words"),
    [
        ([], 1, KNOWN),
        ([ENTRY], 0, "nothing known against it, 1 allowed"),
        ([Allowed(KNOWN, PACKAGE, "not reached", date(2026, 6, 14))], 1, "was allowed until 2026-06-14"),
        ([Allowed("GHSA-5555-5555-5555", PACKAGE, "another", TODAY)], 1, KNOWN),
    ],
    ids=["found", "allowed", "over", "another allowed"],
)
def test_what_is_known_fails_unless_allowed(
    capsys: pytest.CaptureFixture[str], allowed: list[Allowed], expected: int, words: str
) -> None:
    with osv() as service:
        assert audit(["small"], allowed, TODAY, service) == expected
    assert words in capsys.readouterr().out


@pytest.mark.parametrize(("allowed", "expected"), [([], 0), ([Allowed(KNOWN, PACKAGE, "x", date(2020, 1, 1))], 1)])
def test_without_a_network_it_says_so_and_passes(
    capsys: pytest.CaptureFixture[str], allowed: list[Allowed], expected: int
) -> None:
    """But an allowance that is over needs no network to be over."""
    nobody = ["--no-cache", "--service-url", f"http://127.0.0.1:{free_port()}/"]
    assert audit(["small"], allowed, TODAY, nobody) == expected
    assert "locks/small.txt was not looked up" in capsys.readouterr().out


def test_the_bill_names_every_pin_with_its_hashes(tmp_path: Path) -> None:
    assert sbom("small", tmp_path / "build" / "sbom.json") == 0
    bill = json.loads((tmp_path / "build" / "sbom.json").read_text())
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.5")
    found = {one["name"]: one for one in bill["components"]}
    assert {name: one["version"] for name, one in found.items()} == {
        "a2wsgi": "1.10.10",
        "tornado": "6.6.1",
        "colorama": "0.4.6",
    }
    hashes = [each["alg"] for one in found.values() for ref in one["externalReferences"] for each in ref["hashes"]]
    assert set(hashes) == {"SHA-256"}


@pytest.mark.parametrize(
    "text",
    [
        '[[allowed]]\nid = "x"\n',
        '[[allowed]]\nid = "x"\npackage = "y"\nreason = " "\nuntil = 2027-01-01\n',
        '[[allowed]]\nid = "x"\npackage = "y"\nreason = "z"\nuntil = "2027-01-01"\n',
    ],
)
def test_an_allowance_without_a_reason_or_an_end_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "allowed.toml"
    path.write_text(text)
    with pytest.raises(SystemExit, match="id, package, reason and until"):
        read_allowed(path)


def test_the_committed_allowances_are_whole() -> None:
    assert all(one.until for one in read_allowed(ALLOWED))
