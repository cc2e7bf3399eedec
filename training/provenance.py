"""What a run was made by: the code, its lock, the libraries that decide on bits, and the name that follows from it."""

from __future__ import annotations

import hashlib
import platform
import shutil
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "locks" / "all.txt"
NO_GIT = "nogit00"
DECIDING = ("lightgbm", "numpy", "scipy", "scikit-learn")
"""Libraries whose version may change the bits of a bundle."""


def code_tags(root: Path = ROOT) -> dict[str, str]:
    """Return code.version; git.sha and git.dirty where there is a repository; lock.sha256 where the lock is there."""
    told = {"code.version": version_of("forecastle")}
    where = root if (root / ".git").exists() else Path.cwd()
    if sha := _git(where, "rev-parse", "HEAD"):
        changed = _git(where, "status", "--porcelain", "--untracked-files=no")
        told |= {"git.sha": sha, "git.dirty": str(bool(changed)).lower()}
    if LOCK.is_file():
        told["lock.sha256"] = hashlib.sha256(LOCK.read_bytes()).hexdigest()
    return told


def libraries() -> dict[str, str]:
    """Return the versions that decide on bits, and the machine."""
    told = {name: version_of(name) for name in DECIDING}
    return told | {"python": platform.python_version(), "machine": f"{platform.system()} {platform.machine()}"}


def version_of(name: str) -> str:
    """Return the installed version of a distribution; "unknown" where it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"


def run_name(config_hash: str, tags: dict[str, str], now: datetime | None = None) -> str:
    """Return ``<utc>-<gitsha7>-<config8>``."""
    at = now or datetime.now(UTC)
    return f"{at:%Y%m%dT%H%M%SZ}-{tags.get('git.sha', NO_GIT)[:7]}-{config_hash[:8]}"


def _git(root: Path, *command: str) -> str:
    git = shutil.which("git")
    if git is None:
        return ""
    done = subprocess.run([git, "-C", str(root), *command], capture_output=True, text=True, check=False)  # noqa: S603
    return done.stdout.strip() if done.returncode == 0 else ""
