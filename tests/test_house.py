"""The house itself: the lock satisfies pyproject.toml, and the license and command words are in place."""

import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.unsafe import unsafe

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SERVE = PROJECT["project"]["dependencies"]
REST = [
    *PROJECT["project"]["optional-dependencies"]["train"],
    *PROJECT["project"]["optional-dependencies"]["oauth"],
    *PROJECT["project"]["optional-dependencies"]["otlp"],
    *PROJECT["dependency-groups"]["dev"],
]
DASK = [
    *SERVE,
    *PROJECT["project"]["optional-dependencies"]["train"],
    *PROJECT["project"]["optional-dependencies"]["dask"],
]
LOCKS = ("all", "serve", "dask", "bench", "mlflow", "uv")
PLATFORMS = [
    {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "sys_platform": system,
        "platform_machine": machine,
    }
    for python in ("3.11", "3.12")
    for system, machine in (("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64"), ("darwin", "x86_64"))
]


def pins(name: str) -> Iterator[tuple[Requirement, int]]:
    """Yield each pinned requirement of a lock with its number of hashes."""
    text = (ROOT / "locks" / f"{name}.txt").read_text().replace("\\\n", " ")
    for line in text.splitlines():
        yield Requirement(line.split(" --hash")[0]), line.count("--hash=sha256:")


def versions(name: str, platform: dict[str, str]) -> dict[str, Version]:
    """Return package -> version that a lock installs on a platform; a package pinned twice there is an error."""
    found: dict[str, Version] = {}
    for pin, _ in pins(name):
        if pin.marker is None or pin.marker.evaluate(platform):
            key = canonicalize_name(pin.name)
            assert key not in found, f"{name}.txt pins {key} twice on {platform}"
            found[key] = Version(next(iter(pin.specifier)).version)
    return found


def unmet(requirements: list[str], locked: dict[str, Version], platform: dict[str, str]) -> list[str]:
    """Return the requirements that apply to a platform and are missing from the lock or outside their bounds."""
    faults = []
    for requirement in map(Requirement, requirements):
        if requirement.marker is None or requirement.marker.evaluate(platform):
            version = locked.get(canonicalize_name(requirement.name))
            if version is None or not requirement.specifier.contains(version):
                faults.append(f"{requirement}: locked {version}; run `make lock`")
    return faults


@pytest.mark.parametrize("platform", PLATFORMS, ids=lambda p: "-".join(list(p.values())[1:]))
def test_lock_satisfies_pyproject(platform: dict[str, str]) -> None:
    everything, serving = versions("all", platform), versions("serve", platform)
    assert unmet([*SERVE, *REST], everything, platform) == []
    assert unmet(SERVE, serving, platform) == []
    assert serving.items() <= everything.items()
    assert versions("uv", platform).items() <= everything.items()
    cluster = versions("dask", platform)
    assert unmet(DASK, cluster, platform) == []
    assert {name: cluster[name] for name in cluster.keys() & everything.keys()}.items() <= everything.items()
    mlflow = versions("mlflow", platform)
    assert unmet(PROJECT["dependency-groups"]["mlflow"], mlflow, platform) == []
    assert {name: mlflow[name] for name in mlflow.keys() & serving.keys()}.items() <= serving.items()
    peers = versions("bench", platform)
    assert unmet([*SERVE, *PROJECT["project"]["optional-dependencies"]["bench"]], peers, platform) == []
    assert {name: peers[name] for name in peers.keys() & everything.keys()}.items() <= everything.items()


@pytest.mark.parametrize("name", LOCKS)
def test_every_pin_is_exact_and_hashed(name: str) -> None:
    assert [
        str(pin) for pin, hashes in pins(name) if not hashes or not re.fullmatch(r"==[^*,]+", str(pin.specifier))
    ] == []


@pytest.mark.parametrize("name", LOCKS)
def test_lock_names_no_host(name: str) -> None:
    assert not re.search(r"://|--(extra-)?index|--find-links", (ROOT / "locks" / f"{name}.txt").read_text())


def test_serving_set_stays_small() -> None:
    locked = {canonicalize_name(pin.name) for pin, _ in pins("serve")}
    assert locked.isdisjoint(
        {"pandas", "pyarrow", "scikit-learn", "mlflow", "mlflow-skinny", "shap", "alembic", "pyjwt"}
    )


def test_only_one_mlflow() -> None:
    assert "mlflow" not in {canonicalize_name(pin.name) for pin, _ in pins("all")}


def test_unmet_finds_missing_and_out_of_bounds() -> None:
    locked = {"numpy": Version("2.1")}
    faults = unmet(["numpy>=2.2", "absent", "other; python_version > '3'"], locked, PLATFORMS[0])
    assert [fault.split(":")[0] for fault in faults] == ["numpy>=2.2", "absent", 'other; python_version > "3"']


def test_license_is_apache_2() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert PROJECT["project"]["license"] == "Apache-2.0"


@pytest.mark.parametrize("script", ["tools/setup.sh", "tools/demo.sh", ".ci/run"])
def test_scripts_parse_and_are_executable(script: str) -> None:
    path = ROOT / script
    assert path.stat().st_mode & 0o111
    assert subprocess.run(["bash", "-n", path], capture_output=True, text=True).stderr == ""


SOURCES = sorted(
    path
    for folder in ("configs", "features", "models", "serving", "training", "tools", "tests")
    for path in (ROOT / folder).rglob("*.py")
)
TESTS_MAY = {
    "tests/configs/test_errors.py": {"import pickle"},  # errors cross processes, which multiprocessing pickles
}


def test_nothing_that_was_read_is_run() -> None:
    """No pickle and its kin, no eval, no shell, no YAML that makes objects: in no module."""
    found = {
        f"{name}: {what}"
        for path in [ROOT / "forecastle.py", *SOURCES]
        for what in unsafe(path.read_text(encoding="utf-8"))
        if what.partition(": ")[2] not in TESTS_MAY.get(name := str(path.relative_to(ROOT)), set())
    }
    assert len(SOURCES) > 200
    assert found == set()


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "import joblib.externals as j",
        "from cloudpickle import loads",
        "def f():\n    from dill import loads",
        "eval(text)",
        "exec(text, {})",
        "__import__(name)",
        "os.system('ls')",
        "subprocess.run('ls', shell=True)",
        "subprocess.run('ls', shell=wanted)",
        "np.load(path, allow_pickle=True)",
        "yaml.load(text)",
        "yaml.load(text, Loader=yaml.Loader)",
        "yaml.load(text, yaml.FullLoader)",
        "yaml.unsafe_load(text)",
        "pd.read_pickle(path)",
        "importlib.import_module(name)",
    ],
)
def test_the_scan_finds(line: str) -> None:
    assert len(list(unsafe(line))) == 1


@pytest.mark.parametrize(
    "line",
    [
        "# pickle",
        "text = 'eval(x)'",
        "subprocess.run(['ls'], shell=False)",
        "np.load(path, allow_pickle=False)",
        "yaml.load(text, Loader=yaml.CSafeLoader)",
        "yaml.safe_load(text)",
        "importlib.import_module(f'features.{name}')",
        "model.eval()",
    ],
)
def test_the_scan_lets_pass(line: str) -> None:
    assert list(unsafe(line)) == []
