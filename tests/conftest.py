"""What holds for every test: Hypothesis profiles, no telemetry, and a home directory that must stay empty."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Set before any test module imports a library that reads them; child processes inherit them.
_HOME = Path(tempfile.mkdtemp(prefix="forecastle-home-"))
os.environ.update(
    HOME=str(_HOME),
    BENTOML_DO_NOT_TRACK="True",  # compared with the word "true": 1 does not work
    MLFLOW_DISABLE_TELEMETRY="true",
    DO_NOT_TRACK="true",
    OMP_WAIT_POLICY="PASSIVE",
)
for _name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "BENTOML_HOME"):
    os.environ.pop(_name, None)

_SLOW_IS_FINE = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile("short", max_examples=12, deadline=None, suppress_health_check=_SLOW_IS_FINE)
settings.register_profile(
    "ci", max_examples=12, deadline=None, derandomize=True, print_blob=True, suppress_health_check=_SLOW_IS_FINE
)
settings.register_profile(
    "long", max_examples=1000, deadline=None, print_blob=True, suppress_health_check=_SLOW_IS_FINE
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "short"))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything under tests/bench, before ``-m`` selects."""
    bench = Path(__file__).parent / "bench"
    for item in items:
        if item.path.is_relative_to(bench):
            item.add_marker(pytest.mark.bench)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Fail the run if anything was written to the home directory."""
    written = sorted(str(path.relative_to(_HOME)) for path in _HOME.rglob("*"))
    shutil.rmtree(_HOME, ignore_errors=True)
    if written:
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            reporter.write_line(f"\nERROR: tests wrote to the home directory: {', '.join(written[:10])}", red=True)
        if exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
