"""The container: what its two recipes say, and the service run as they would run it, without docker."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from serving.answers import answer
from serving.fits import load_model
from serving.refresh import refresh_reference
from tests.contained import CODE, UID, command, give_up, image, installed, needs_root
from tests.load import Place, place_in, said
from tests.running import ROOT, STOP_S, Server, free_port, new_key, started
from tests.served import World, posted
from tests.stored import few_deals

pytestmark = [pytest.mark.service, pytest.mark.timeout(300)]

NOT_SERVED = ("pandas", "pyarrow", "sklearn", "mlflow", "shap", "optuna", "matplotlib", "pytest", "uv", "pip")
HASH = re.compile(r"(?m)--hash=sha256:[0-9a-f]{64}|^[a-z0-9-]+==[^ ;]+(?=[ ;].*\\$)")
"""Each hash, and each pin that has some: BentoML writes markers in another form."""
WRITABLE = {"/state", "/tmp"}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return image(tmp_path_factory.mktemp("image"))


@dataclass(frozen=True)
class Contained:
    """A service in its container. traced: where strace says whom it called, None without strace."""

    server: Server
    place: Place
    traced: Path | None

    def processes(self) -> list[int]:
        """The service and all that it started."""
        children: dict[int, list[int]] = {}
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                parent = int(path.read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(path.parent.name))
        found = [self.server.process.pid]
        for pid in found:
            found += children.get(pid, [])
        return found


@pytest.fixture(scope="module")
def contained(built: Path, world: World, export: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Contained]:
    """With a snapshot of the source's facts that a refresh elsewhere has left, as a serving image never could."""
    needs_root()
    folder = tmp_path_factory.mktemp("contained")
    place = place_in(world, export, folder)
    refresh_reference(place.config, world.bundle, lambda _: None)
    shutil.copytree(ROOT / "configs", folder / "config")
    (folder / "root").mkdir()
    port = free_port()
    said = [*place.overrides, "state_dir=/state", f"serving.port={port}", "serving.workers=1"]
    words = [word for each in said for word in ("--set", each)]
    line, environment = command(
        built, folder / "config", place.config.state_dir, folder / "root", "serve", "/config/demo.yaml", *words
    )
    traced = folder / "calls" if shutil.which("strace") else None
    if traced is not None:
        calls = "trace=connect,sendto,sendmsg"
        line = ["strace", "-D", "-f", "-qq", "--seccomp-bpf", "-e", calls, "-o", str(traced), *line]
    key = new_key(place.config, port)
    give_up(place.config.state_dir)
    with started(line, environment, key, port, folder) as server:
        yield Contained(server, place, traced)


def test_the_serving_set_is_small(built: Path) -> None:
    assert installed(built, "bentoml", "lightgbm", *NOT_SERVED) == ["bentoml", "lightgbm"]


def test_it_scores_with_the_bits_of_this_environment(contained: Contained) -> None:
    """Probabilities, reasons and flags, to the last digit, with the facts of the refresh elsewhere."""
    place = contained.place
    asked = posted(place.world.body(few_deals(place.world)[:24]))
    status, _, body = contained.server.ask("POST", "/v1/deals/score", asked)
    assert status == 200
    loaded = load_model(place.config, place.store.root / place.first)
    here = answer(asked, place.world.as_of, "", loaded, place.config.serving).body
    assert said(body) == said(here)
    results = json.loads(body)["results"]
    assert all(result["reasons"] for result in results)
    assert any(result["flags"] for result in results)
    told = json.loads(contained.server.ask("GET", "/v1/status")[2])
    assert told["reference"]["origin"] == "source"


def test_it_has_no_rights(contained: Contained) -> None:
    processes = contained.processes()
    assert len(processes) >= 2
    for pid in processes:
        lines = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        assert {int(word) for word in lines["Uid"].split()} == {UID}
        assert {int(word) for word in lines["Gid"].split()} == {UID}
        assert lines["Groups"].split() in ([], [str(UID)])
        assert int(lines["CapEff"], 16) == int(lines["CapBnd"], 16) == 0
        assert lines["NoNewPrivs"] == "1"


def test_it_can_write_only_its_state_and_tmp(contained: Contained) -> None:
    """Every mount but two is read-only; /tmp has BentoML's sockets, and bytecode, which the image has compiled."""
    pid = contained.server.process.pid
    inside = Path(f"/proc/{pid}/root")
    for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines():
        _, _, _, _, where, options, *_ = line.split()
        assert "ro" in options.split(",") or where in WRITABLE or where.startswith("/dev/"), line
    assert {path.name.partition("-")[0] for path in (inside / "tmp").iterdir()} == {"bentoml", "bytecode"}
    assert not (inside / "nonexistent").exists()
    assert {path.stat().st_uid for path in contained.place.config.state_dir.rglob("*")} == {UID}


def test_it_calls_nobody_outside(contained: Contained) -> None:
    """No telemetry, no look-up of a name: all that it connects to is itself."""
    if contained.traced is None:
        pytest.skip("needs strace")
    assert contained.server.ask("GET", "/v1/status")[0] == 200
    calls = contained.traced.read_text().splitlines()
    addressed = [line for line in calls if "sa_family=AF_INET" in line]
    outside = [line for line in addressed if not re.search(r'inet_addr\("127\.0\.0\.1"\)|"::1"', line)]
    assert outside == []
    assert any("AF_UNIX" in line or "AF_INET" in line for line in calls), "strace saw nothing, which cannot be"


def test_the_probe_of_the_image_is_a_command_that_runs(contained: Contained) -> None:
    """HEALTHCHECK is Python that any image with Python has; here it asks the service that runs."""
    (rest,) = [rest for word, rest in instructions() if word == "HEALTHCHECK"]
    words = json.loads(rest.partition("CMD ")[2])
    here = [sys.executable, *words[1:-1], words[-1].replace(":3000/", f":{contained.server.port}/")]
    assert subprocess.run(here).returncode == 0
    nobody = [*here[:-1], words[-1].replace(":3000/", f":{free_port()}/")]
    assert subprocess.run(nobody, stderr=subprocess.DEVNULL).returncode != 0


def test_z_it_stops_when_asked(contained: Contained) -> None:
    """Last of those that ask it."""
    contained.server.process.send_signal(signal.SIGTERM)
    assert contained.server.process.wait(STOP_S) == 0
    assert "Traceback" not in contained.server.log.read_text()


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile as (word, rest) lines, continuations joined, comments left out."""
    text = re.sub(r"(?m)^#.*\n", "", (ROOT / "Dockerfile").read_text()).replace("\\\n", " ")
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in text.splitlines()) if word]


def test_the_dockerfile_is_as_the_tests_run_it() -> None:
    said = instructions()
    stages = [k for k, (word, _) in enumerate(said) if word == "FROM"]
    assert [said[k][1] for k in stages] == ["python:3.11-slim AS build", "python:3.11-slim"]
    last = dict(said[stages[1] :])
    assert last["USER"] == f"{UID}:{UID}"
    assert last["STOPSIGNAL"] == "SIGTERM"
    assert last["VOLUME"] == "/state"
    assert "/v1/ready" in last["HEALTHCHECK"]
    assert {word: json.loads(last[word]) for word in ("ENTRYPOINT", "CMD")} == {
        "ENTRYPOINT": ["python", "-m", "forecastle"],
        "CMD": ["serve", "/config/company.yaml"],
    }
    copied = {rest.split()[0] for word, rest in said[: stages[1]] if word == "COPY"}
    assert copied == {"locks/serve.txt", "forecastle.py", *CODE}
    installs = [rest for word, rest in said if word == "RUN" and re.search(r"pip (install|sync)", rest)]
    assert installs
    for rest in installs:
        assert len(re.findall(r"pip (?:install|sync)", rest)) == rest.count("--require-hashes")
    assert not [word for word, _ in said if word == "ADD"]


def test_the_builder_sees_only_what_the_dockerfile_copies() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    let_in = {line[1:] for line in lines if line.startswith("!")}
    copied = {part for word, rest in instructions() if word == "COPY" and "--from" not in rest for part in rest.split()}
    assert lines[0] == "*"
    assert let_in == {part for part in copied if part != "./" and (ROOT / part).exists()}


def test_bentoml_builds_from_the_same_lock(tmp_path: Path) -> None:
    environment = {**os.environ, "BENTOML_HOME": str(tmp_path), "FORECASTLE_CONFIG": str(ROOT / "configs/demo.yaml")}
    build = [sys.executable, "-m", "bentoml", "build", "--output", "tag", "--version", "tried", str(ROOT)]
    done = subprocess.run(build, cwd=ROOT, env=environment | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert "forecastle:tried" in done.stdout, done.stderr
    bento = tmp_path / "bentos" / "forecastle" / "tried"
    assert yaml.safe_load((bento / "bento.yaml").read_text())["service"] == "serving.service:Forecastle"
    assert {path.name for path in (bento / "src").iterdir()} - {"bentofile.yaml"} == {"LICENSE", "forecastle.py", *CODE}
    for name in CODE:
        theirs = {path.relative_to(bento / "src") for path in (bento / "src" / name).rglob("*") if path.is_file()}
        assert theirs == {
            path.relative_to(ROOT) for path in (ROOT / name).rglob("*") if path.is_file() and path.suffix != ".pyc"
        }
    written = re.findall(HASH, (bento / "env/python/requirements.txt").read_text())
    assert written == re.findall(HASH, (ROOT / "locks/serve.txt").read_text())
    assert "USER bentoml" in (bento / "env/docker/Dockerfile").read_text()
