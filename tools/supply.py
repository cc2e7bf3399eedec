"""What the locks bring in: a bill of materials (`make sbom`) and a look at known vulnerabilities (`make audit`).

uv makes both from a uv.lock, which this project does not keep (docs/decisions/0007-hashed-requirements.md): each lock
is made into one in a temporary folder, pin by pin.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ROOT / "locks"
ALLOWED = LOCKS / "allowed.toml"
AUDITED = ("all", "dask", "bench")  # the others are parts of `all`
UV = Path(sys.executable).parent / "uv"
FOUND = 1  # uv's exit code for vulnerabilities; 2 is that it could not look
NO_NETWORK = re.compile(r"error sending request|Request failed|timed out|dns error|Could not connect|network", re.I)


@dataclass(frozen=True)
class Allowed:
    """A vulnerability that is lived with. until: the last day; reason: why it does not harm here."""

    id: str
    package: str
    reason: str
    until: date


def read_allowed(path: Path) -> list[Allowed]:
    """Return the entries of the allow-list. Raises SystemExit where one is not whole."""
    entries = tomllib.loads(path.read_text(encoding="utf-8")).get("allowed", [])
    found = []
    for entry in entries:
        whole = set(entry) == {"id", "package", "reason", "until"} and type(entry["until"]) is date
        if not whole or not str(entry["reason"]).strip():
            sys.exit(f"{path}: an entry has id, package, reason and until (a day such as 2027-01-31), got {entry}")
        found.append(Allowed(**entry))
    return found


@contextmanager
def project(lock: str) -> Iterator[Path]:
    """A folder with a project that asks for the pins of a lock and nothing else."""
    text = (LOCKS / f"{lock}.txt").read_text(encoding="utf-8").replace("\\\n", " ")
    pins = [line.partition(" --hash")[0].strip() for line in text.splitlines() if line.strip()]
    listed = ",\n".join(f'  "{pin}"' for pin in pins)
    with tempfile.TemporaryDirectory(prefix="forecastle-supply-") as name:
        folder = Path(name)
        (folder / "pyproject.toml").write_text(
            f'[project]\nname = "forecastle-{lock}"\nversion = "0"\nrequires-python = ">=3.11,<3.13"\n'
            f"dependencies = [\n{listed},\n]\n",
            encoding="utf-8",
        )
        yield folder


def uv(folder: Path, *words: str, retries: str = "3") -> subprocess.CompletedProcess[str]:
    """Run uv in a folder."""
    environment = {**os.environ, "UV_HTTP_RETRIES": retries, "UV_HTTP_TIMEOUT": "20"}
    return subprocess.run([UV, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False)  # noqa: S603


def locked(folder: Path) -> str:
    """Make the uv.lock, from what uv has already where that is enough; returns why it could not, else nothing."""
    if uv(folder, "lock", "--offline").returncode == 0:
        return ""
    done = uv(folder, "lock")
    return done.stderr.strip() if done.returncode else ""


def sbom(lock: str, out: Path) -> int:
    """Write the bill of materials of a lock: CycloneDX 1.5, every file with its hash."""
    with project(lock) as folder:
        why = locked(folder)
        words = ("export", "--frozen", "--format", "cyclonedx1.5", "--preview-features", "sbom-export", "--no-header")
        done = None if why else uv(folder, *words)
        if done is None or done.returncode:
            say(f"no bill of materials of locks/{lock}.txt: {why or (done.stderr.strip() if done else '')}")
            return 1
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(done.stdout, encoding="utf-8")
    say(f"locks/{lock}.txt in {out}")
    return 0


def audit(locks: Sequence[str], allowed: Sequence[Allowed], today: date, service: Sequence[str] = ()) -> int:
    """Look every pin up; 1 where one is vulnerable and not allowed, or where an allowance is over. No network: 0."""
    over = [one for one in allowed if one.until < today]
    for one in over:
        say(
            f"{one.id} ({one.package}) was allowed until {one.until}: upgrade it, or look again and say so in {ALLOWED}"
        )
    ignored = [word for one in allowed if one.until >= today for word in ("--ignore", one.id)]
    faults = len(over)
    for lock in locks:
        with project(lock) as folder:
            why = locked(folder)
            words = ("audit", "--frozen", "--preview-features", "audit-command", *ignored, *service)
            done = None if why else uv(folder, *words, retries="0")
        told = why if done is None else (done.stdout + done.stderr).strip()
        if done is not None and done.returncode == 0:
            say(f"locks/{lock}.txt: nothing known against it" + (f", {len(ignored) // 2} allowed" if ignored else ""))
        elif NO_NETWORK.search(told) and (done is None or done.returncode != FOUND):
            say(f"locks/{lock}.txt was not looked up, nor what follows: no network ({told.splitlines()[-1].strip()})")
            break
        else:
            say(f"locks/{lock}.txt:\n{told}")
            faults += 1
    return min(faults, 1)


def say(line: str) -> None:
    """Print a line."""
    sys.stdout.write(line + "\n")


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    jobs = parser.add_subparsers(dest="job", required=True)
    bill = jobs.add_parser("sbom")
    bill.add_argument("--lock", default="serve")
    bill.add_argument("--out", type=Path, default=ROOT / "build" / "sbom.json")
    jobs.add_parser("audit")
    asked = parser.parse_args()
    if asked.job == "sbom":
        return sbom(asked.lock, asked.out)
    return audit(AUDITED, read_allowed(ALLOWED), datetime.now(UTC).date())


if __name__ == "__main__":
    sys.exit(main())
