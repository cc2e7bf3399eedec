"""The service as in its container, without docker: the serving set alone, no rights, two folders to write to.

A root directory is put together from read-only mounts in a mount namespace of its own, then given up to: uid 10001, no
capability, no new privileges, no home. Kernel and libraries are this machine's; the rest is as the Dockerfile says.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CODE = ("configs", "features", "models", "serving", "training")
UID = 10001
TOOLS = ("unshare", "setpriv", "mount", "chroot")
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib64")

ENTER = """
set -eu
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$NEW"
put() { mkdir -p "$NEW$2"; mount --rbind "$1" "$NEW$2"; mount -o "remount,bind,$3" "$NEW$2"; }
for each in $SYSTEM; do [ ! -d "$each" ] || put "$each" "$each" ro,nosuid,nodev; done
for each in $PYTHONS; do put "$each" "$each" ro,nosuid,nodev; done
put "$IMAGE" /opt/forecastle ro,nosuid,nodev
put "$CONFIG" /config ro,nosuid,nodev,noexec
put "$STATE" /state rw,nosuid,nodev,noexec
mkdir -p "$NEW/etc" && printf '127.0.0.1 localhost\\n' >"$NEW/etc/hosts"
mkdir -m 755 -p "$NEW/dev" "$NEW/proc"
mount -t proc -o ro proc "$NEW/proc"
for each in null urandom zero; do touch "$NEW/dev/$each"; mount --bind "/dev/$each" "$NEW/dev/$each"; done
mkdir -m 1777 "$NEW/tmp" && mount -t tmpfs -o mode=1777,nosuid,nodev,size=64m tmpfs "$NEW/tmp"
mount -o remount,ro "$NEW"
exec chroot "$NEW" /usr/bin/env -i PATH=/opt/forecastle/venv/bin HOME=/nonexistent PYTHONPATH=/opt/forecastle/app \\
  PYTHONPYCACHEPREFIX=/tmp/bytecode BENTOML_DO_NOT_TRACK=True \\
  /usr/bin/setpriv --reuid=UID --regid=UID --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all -- \\
  /opt/forecastle/venv/bin/python -m forecastle "$@"
"""


def image(folder: Path) -> Path:
    """What the Dockerfile copies into the image: an environment from locks/serve.txt alone, and the code."""
    python, uv = folder / "venv" / "bin" / "python", Path(sys.executable).parent / "uv"
    environment = {**os.environ, "UV_CACHE_DIR": uv_cache()}
    subprocess.run([uv, "venv", "-q", "--python", _base(), folder / "venv"], check=True, env=environment)
    install = [uv, "pip", "sync", "-q", "--python", python, "--require-hashes", ROOT / "locks" / "serve.txt"]
    if subprocess.run([*install, "--offline"], capture_output=True, env=environment).returncode:
        done = subprocess.run(install, capture_output=True, text=True, env=environment)
        if done.returncode:
            pytest.skip(f"the serving set is neither in uv's cache nor at an index: {done.stderr.strip()[-200:]}")
    folder.chmod(0o755)
    (folder / "app").mkdir()
    shutil.copy(ROOT / "forecastle.py", folder / "app")
    for name in CODE:
        shutil.copytree(ROOT / name, folder / "app" / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def installed(folder: Path, *names: str) -> list[str]:
    """Which of these modules the image can import."""
    code = f"import importlib.util as u; print(*[n for n in {names!r} if u.find_spec(n)])"
    done = subprocess.run(
        [folder / "venv" / "bin" / "python", "-I", "-c", code], capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def needs_root() -> None:
    """Skip where no namespace can be made."""
    lacking = [tool for tool in TOOLS if shutil.which(tool) is None]
    if os.getuid() != 0 or lacking:
        pytest.skip(f"needs root and {', '.join(lacking) or 'namespaces'} to build a container's root by hand")
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode:
        pytest.skip("this machine allows no mount namespace")


def give_up(folder: Path) -> None:
    """Make a folder and what it holds the service's."""
    for path in [folder, *folder.rglob("*")]:
        os.chown(path, UID, UID)


def command(image: Path, config: Path, state: Path, new: Path, *words: str) -> tuple[list[str], dict[str, str]]:
    """The command line, and its environment, of ``forecastle`` with these words, contained.

    config, state: folders that become /config and /state; new: an empty folder for the root.
    """
    pythons = {_base().parents[1], Path(sys.base_prefix)}
    environment = {
        "PATH": os.environ["PATH"],
        "SYSTEM": " ".join(SYSTEM),
        "PYTHONS": " ".join(str(path) for path in pythons if not path.is_relative_to("/usr")),
        "IMAGE": str(image), "CONFIG": str(config), "STATE": str(state), "NEW": str(new),
    }  # fmt: skip
    return ["unshare", "--mount", "bash", "-c", ENTER.replace("UID", str(UID)), "forecastle", *words], environment


def _base() -> Path:
    """The interpreter that this environment was made from."""
    return Path(sys._base_executable).resolve()  # type: ignore[attr-defined]


def uv_cache() -> str:
    """Where `make setup` left what uv has downloaded; the home directory of a test is another."""
    return os.environ.get("UV_CACHE_DIR") or str(Path(pwd.getpwuid(os.getuid()).pw_dir) / ".cache" / "uv")
