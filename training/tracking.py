"""MLflow, and nothing else of the project knows it: runs, the pyfunc of a bundle, aliases `candidate` and `live`.

By default everything lives in one SQLite file and one artifact folder under the state directory; `tracking.uri` names a
PostgreSQL database or an MLflow server instead. MLflow is told what was done after it is safely on disk, and whatever
is wrong with it becomes a TrackingError, which `training.sync` turns into a note for later.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Any, TypeVar

from configs.base import redacted
from configs.errors import TrackingError
from configs.schema import Config
from configs.vocab import Alias

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from models.bundle import Bundle

PYFUNC = Path(__file__).with_name("pyfunc_model.py")
SAFE = "what was trained is safe on disk"
LOCAL_RUN, BUNDLE = "run.local", "bundle.sha256"  # tags by which a run and a version are found again
CONNECT_SECONDS = 5
PARAMS_A_CALL, METRICS_A_CALL = 100, 1000  # MLflow takes no more
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
}
PATIENCE = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}
"""How long a server is waited for, where the environment does not say: a run ends all the same."""

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class DataRecord:
    """The data of a run. digest: our own over all rows and columns; profile: rows by table."""

    name: str
    digest: str
    kind: str
    profile: Mapping[str, int]


@dataclass(frozen=True)
class RunRecord:
    """What a training run tells MLflow; tags may differ between identical runs (wall time is MLflow's own).

    documents: by file name, text as it is, anything else as JSON. data: None logs no dataset.
    """

    run_name: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    documents: Mapping[str, Any] = field(default_factory=dict)
    data: DataRecord | None = None


class Tracker:
    """The tracking store of one config: an experiment `<name>/close` and a registered model `<name>-close`."""

    def __init__(self, state_dir: Path, name: str, uri: str | None = None, artifacts: str | None = None) -> None:
        self.root = (state_dir / "mlflow").resolve()
        self.name = f"{name}-close"
        self.experiment = f"{name}/close"
        self._uri, self._artifacts = uri, artifacts

    @classmethod
    def of(cls, config: Config) -> Tracker:
        """Return the tracker that a config asks for."""
        return cls(config.state_dir, config.name, config.tracking.uri, config.tracking.artifacts)

    @property
    def uri(self) -> str:
        """The tracking URI, as `mlflow ui --backend-store-uri` takes it; it may hold a password: see `shown`."""
        return self._uri or f"sqlite:///{self.root / 'mlflow.db'}"

    @property
    def shown(self) -> str:
        """The tracking URI for people and logs."""
        return redacted(self.uri)

    @property
    def artifacts(self) -> str | None:
        """Where a new experiment keeps its artifacts; None: where the server does."""
        if self._artifacts is not None:
            return self._artifacts
        return None if self.uri.startswith("http") else (self.root / "artifacts").as_uri()

    def check(self) -> None:
        """Open the store, where it is another's or there is one; in state_dir none is made. Raises TrackingError."""
        if self._uri is None and not self.root.exists():
            return
        with self._client() as client:
            client.search_experiments(max_results=1)

    def log(self, record: RunRecord, bundle: Bundle, folder: Path) -> str:
        """Log a run with its bundle as a pyfunc, register it and give it the alias `candidate`; returns the run id.

        A run that was logged to its end before is left as it is; one that was cut off is deleted and logged anew. The
        run is known by its tag `run.local`.
        """
        with self._client() as client:
            experiment = self._experiment(client)
            if done := self._logged(client, experiment, record):
                return done
            run = client.create_run(experiment, run_name=record.run_name, tags=dict(record.tags))
            run_id = str(run.info.run_id)
            self._fill(client, run_id, record)
            import mlflow

            with mlflow.start_run(run_id=run_id), _silence():
                model = self._log_model(bundle, folder)
            version_ = client.create_model_version(
                self._registered(client), model.model_uri, run_id, tags={BUNDLE: bundle.sha}, model_id=model.model_id
            )
            client.set_registered_model_alias(self.name, Alias.CANDIDATE.value, version_.version)
            return run_id

    def log_study(self, study: str, parent: RunRecord, children: Sequence[RunRecord]) -> str:
        """Log a tuning study: one run, and a run nested in it for each trial; returns the run id.

        A study that was logged before keeps its run, which is told the newest figures, and its trials are not repeated.
        Both find each other by the tags `tuning.study` and `tuning.trial` that the records carry.
        """
        from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

        with self._client() as client:
            experiment = self._experiment(client)
            found = client.search_runs([experiment], f"tags.`tuning.study` = '{study}'", max_results=50_000)
            known = {run.data.tags.get("tuning.trial") for run in found}
            top = next((str(run.info.run_id) for run in found if "tuning.trial" not in run.data.tags), "")
            run_id = self._ended(client, experiment, parent, top)
            for child in children:
                if child.tags["tuning.trial"] not in known:
                    nested = replace(child, tags={**child.tags, MLFLOW_PARENT_RUN_ID: run_id})
                    self._ended(client, experiment, nested)
            return run_id

    def _ended(self, client: MlflowClient, experiment: str, record: RunRecord, run_id: str = "") -> str:
        """Write a record into a run, a new one without `run_id`, and end it; returns its id."""
        from mlflow.entities import RunTag

        if not run_id:
            run_id = str(client.create_run(experiment, run_name=record.run_name).info.run_id)
        client.log_batch(run_id, tags=[RunTag(key, value) for key, value in record.tags.items()])
        self._fill(client, run_id, record)
        client.set_terminated(run_id)
        return run_id

    def go_live(self, sha: str, tags: Mapping[str, str] | None = None) -> str:
        """Give the alias `live` to the version whose bundle is `sha` and return it; the one before is kept as a tag.

        The alias is one call, and so one transaction; nothing is ever read from the tags. tags: of the version.
        """
        with self._client() as client:
            found = client.search_model_versions(f"name='{self.name}' and tags.`{BUNDLE}`='{sha}'")
            if not found:
                raise TrackingError(
                    f"no version of {self.name} holds bundle {sha[:12]}: train again, so that the run is tracked"
                )
            chosen = max(found, key=lambda v: int(v.version))
            for key, value in (tags or {}).items():
                client.set_model_version_tag(self.name, chosen.version, key, value)
            aliases = client.get_registered_model(self.name).aliases
            if before := aliases.get(Alias.LIVE.value):
                client.set_registered_model_tag(self.name, "live.before", str(before))
            client.set_registered_model_alias(self.name, Alias.LIVE.value, chosen.version)
            return str(chosen.version)

    def _logged(self, client: MlflowClient, experiment: str, record: RunRecord) -> str:
        """Return the id of the finished run of a record, "" where there is none; what was cut off is deleted."""
        local = record.tags.get(LOCAL_RUN)
        if local is None:
            return ""
        for run in client.search_runs([experiment], f"tags.`{LOCAL_RUN}` = '{local}'"):
            run_id = str(run.info.run_id)
            versions = client.search_model_versions(f"name='{self.name}' and run_id='{run_id}'")
            if run.info.status == "FINISHED" and versions:
                return run_id
            client.delete_run(run_id)
        return ""

    def _fill(self, client: MlflowClient, run_id: str, record: RunRecord) -> None:
        """Write what a record says into a run, in as few calls as MLflow allows."""
        from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param

        now = round(time() * 1000)
        for some in _parts([Param(key, value) for key, value in record.params.items()], PARAMS_A_CALL):
            client.log_batch(run_id, params=some)
        for many in _parts([Metric(key, value, now, 0) for key, value in record.metrics.items()], METRICS_A_CALL):
            client.log_batch(run_id, metrics=many)
        if (data := record.data) is not None:
            # The digest column holds 36 characters; the whole one is the tag `data.fingerprint`.
            source = json.dumps({"tags": {"source.kind": data.kind}})
            profile = json.dumps(dict(data.profile))
            dataset = Dataset(data.name, data.digest[:32], "code", source, profile=profile)
            client.log_inputs(run_id, datasets=[DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])
        with _silence():
            for path, document in record.documents.items():
                text = document if isinstance(document, str) else json.dumps(document, indent=1, allow_nan=False) + "\n"
                client.log_text(run_id, text, path)

    def _log_model(self, bundle: Bundle, folder: Path) -> Any:
        import mlflow
        import numpy as np
        import pandas as pd
        from mlflow.models import infer_signature

        rows = pd.DataFrame(bundle.golden.values[:3], columns=list(bundle.golden.names))
        return mlflow.pyfunc.log_model(
            name="model",
            python_model=str(PYFUNC),
            artifacts={"bundle": str(folder)},
            signature=infer_signature(rows, np.zeros(len(rows))),
            input_example=rows,
            pip_requirements=[
                f"{name}=={version(name)}" for name in ("forecastle", "lightgbm", "numpy", "mlflow-skinny")
            ],
        )

    def _experiment(self, client: MlflowClient) -> str:
        found = client.get_experiment_by_name(self.experiment)
        if found is not None:
            return str(found.experiment_id)
        return str(client.create_experiment(self.experiment, artifact_location=self.artifacts))

    def _registered(self, client: MlflowClient) -> str:
        if not client.search_registered_models(f"name='{self.name}'"):
            client.create_registered_model(self.name)
        return self.name

    @contextmanager
    def _client(self) -> Iterator[MlflowClient]:
        """Open the store quietly; whatever is wrong with it becomes a TrackingError."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TrackingError(f"{self.root}: cannot be made a folder ({error.strerror}); {SAFE}") from error
        os.environ.update(QUIET)
        for name, value in PATIENCE.items():
            os.environ.setdefault(name, value)
        with warnings.catch_warnings(), Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
            warnings.simplefilter("ignore")
            try:
                _reach(self.uri)
                yield _client_of(self.uri)
            except _failures() as error:
                raise TrackingError(f"{self.shown}: {self._said(error)}; {SAFE}") from error

    def _said(self, error: Exception) -> str:
        """Return the first line of what a store said (the rest of a database's error is SQL), without a password."""
        first = str(error).strip().partition("\n")[0] or type(error).__name__
        if isinstance(error, ImportError):
            first = f"{first}: install forecastle[postgres]"
        return redacted(first.replace(self.uri, self.shown))


def _client_of(uri: str) -> MlflowClient:
    import mlflow

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    return mlflow.MlflowClient(uri, uri)


def _failures() -> tuple[type[Exception], ...]:
    """What a store that is down, damaged or refused raises; OSError: a full disk, an artifact folder without rights."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    return (MlflowException, SQLAlchemyError, OSError, ImportError)


def _reach(uri: str) -> None:
    """Connect to a database once: MLflow would try for minutes before it says that nobody is there, and would keep a
    connection to a damaged file for as long as the process lives.
    """
    if uri.startswith("http"):
        return
    from sqlalchemy import create_engine

    arguments = {"connect_timeout": CONNECT_SECONDS} if uri.startswith("postgresql") else {}
    engine = create_engine(uri, connect_args=arguments)
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA schema_version" if uri.startswith("sqlite") else "SELECT 1")
    finally:
        engine.dispose()


def _parts(items: Sequence[_Item], size: int) -> Iterator[Sequence[_Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


@contextmanager
def _silence(errors: bool = True) -> Iterator[None]:
    """Keep MLflow's prints off standard output, and its advice off standard error too; exceptions come through."""
    with (
        Path(os.devnull).open("w") as nowhere,
        redirect_stdout(nowhere),
        redirect_stderr(nowhere if errors else sys.stderr),
    ):
        yield
