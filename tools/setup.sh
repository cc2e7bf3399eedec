#!/usr/bin/env bash
# Makes .venv from the lock, or brings it up to date in place; a no-op when nothing changed.
# Needs Python 3.11 or 3.12. What the system lacks is installed with apt where that is allowed, else named.
# PYTHON=/path/to/python chooses the interpreter of a new .venv.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$(pwd -P)
py=.venv/bin/python
stamp=.venv/.setup-stamp
PATH=${PATH//"$root/.venv/bin:"/} # an activated .venv must not build itself
export UV_LINK_MODE=copy PIP_DISABLE_PIP_VERSION_CHECK=1
unset PYTHONHOME PYTHONPATH VIRTUAL_ENV

say() { printf 'setup: %s\n' "$*" >&2; }
die() {
  say "$@"
  exit 1
}

right_version() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' 2>/dev/null; }

find_python() {
  local candidate
  for candidate in ${PYTHON:+"$PYTHON"} python3.11 python3.12 python3 python; do
    if right_version "$candidate"; then
      command -v "$candidate"
      return
    fi
  done
  die "Python 3.11 or 3.12 is needed and was not found (python3 here: $(python3 --version 2>/dev/null || echo none))." \
    "Install one (Debian, Ubuntu: apt-get install python3.11 python3.11-venv), or say PYTHON=/path/to/python3.11 make setup."
}

# Succeeds only if the packages are installed afterwards; fails where apt is missing or not allowed.
apt_install() {
  local as_root=env
  command -v apt-get >/dev/null || return 1
  if [ "$(id -u)" -ne 0 ]; then
    sudo -n true 2>/dev/null || return 1
    as_root="sudo -n env"
  fi
  say "installing with apt: $*"
  $as_root DEBIAN_FRONTEND=noninteractive apt-get install -y -q "$@" </dev/null >&2 && return
  $as_root apt-get update -q </dev/null >&2 &&
    $as_root DEBIAN_FRONTEND=noninteractive apt-get install -y -q "$@" </dev/null >&2
}

# It runs, has pip, and was made at this path (a copied or moved one has launchers that point elsewhere).
venv_is_sound() {
  right_version "$py" && "$py" -m pip --version >/dev/null 2>&1 &&
    grep -qF -e "$root/.venv" -e "$PWD/.venv" .venv/bin/activate 2>/dev/null
}

make_venv() {
  local python version
  python=$(find_python)
  [ ! -e .venv ] || say "the .venv here is broken, was moved, or has another Python: making it anew"
  if "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    "$python" -m venv --clear .venv
    return
  fi
  version=$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
  if apt_install "$version-venv" || apt_install python3-venv; then
    "$python" -m venv --clear .venv
  elif "$python" -c 'import virtualenv' 2>/dev/null; then
    "$python" -m virtualenv --clear .venv
  else
    die "$python cannot make environments: it lacks venv or ensurepip, and apt is not available to this user." \
      "Install them (Debian, Ubuntu: apt-get install $version-venv) or virtualenv, then run make again."
  fi
}

# uv is fast and removes what the lock no longer names; pip is everywhere and knows every pip setting.
install_lock() {
  local hashed=(--require-hashes -r)
  if "$py" -m pip install -q "${hashed[@]}" locks/uv.txt &&
    .venv/bin/uv pip sync -q --python "$py" --require-hashes locks/all.txt; then
    return
  fi
  say "uv could not install the lock: using pip, which takes longer"
  "$py" -m pip install -q --no-deps "${hashed[@]}" locks/all.txt ||
    die "the packages of locks/all.txt could not be installed; pip says above which and why."
}

lightgbm_loads() {
  "$py" - <<'EOF'
import ctypes, importlib.util, pathlib, sys
spec = importlib.util.find_spec("lightgbm")
for library in pathlib.Path(spec.origin).parent.glob("lib/lib_lightgbm.*"):
    try:
        ctypes.CDLL(str(library))
    except OSError as error:
        sys.exit(f"setup: {error}")
EOF
}

# Everything that decides what .venv holds, and where it stands; the editable install maps the packages by name.
wanted="$({ cat locks/all.txt locks/uv.txt pyproject.toml tools/setup.sh && ls -- */__init__.py; } | cksum) $root"
if [ -x .venv/bin/forecastle ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && right_version "$py"; then
  exit 0
fi

venv_is_sound || make_venv
rm -f "$stamp"
say "installing the lock into .venv"
install_lock
# Without isolation: setuptools comes from the lock, and no index is asked.
log=$("$py" -m pip install -q --no-deps --no-build-isolation --no-index --editable . 2>&1) || {
  printf '%s\n' "$log" >&2
  die "the project itself could not be installed into .venv; pip says above why."
}
if ! lightgbm_loads; then
  apt_install libgomp1 && lightgbm_loads ||
    die "LightGBM needs the OpenMP runtime, which this system lacks and this user may not install." \
      "Debian, Ubuntu: apt-get install libgomp1. Fedora: dnf install libgomp. macOS: brew install libomp."
fi
printf '%s\n' "$wanted" >"$stamp"
say "ready: .venv/bin/forecastle --help"
