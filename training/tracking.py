"""MLflow, and nothing else of the project knows it: runs, the pyfunc of a bundle, aliases `candidate` and `live`.

Everything lives in one SQLite file and one artifact folder under the state directory. MLflow is told what was done
after the bundle is safely on disk.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Any

from configs.errors import TrackingError
from configs.vocab import Alias

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from models.bundle import Bundle

PYFUNC = Path(__file__).with_name("pyfunc_model.py")
SAFE = "the bundle itself is safe, mend the store and train again"
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
}


@dataclass(frozen=True)
class RunRecord:
    """What a training run tells MLflow; tags may differ between identical runs (wall time is MLflow's own)."""

    run_name: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    documents: Mapping[str, Any]


class Tracker:
    """The tracking store of one state directory, and one registered model per config name."""

    def __init__(self, state_dir: Path, name: str) -> None:
        self.root = (state_dir / "mlflow").resolve()
        self.name = f"{name}-close"

    @property
    def uri(self) -> str:
        """The tracking URI, as `mlflow ui --backend-store-uri` takes it."""
        return f"sqlite:///{self.root / 'mlflow.db'}"

    def check(self) -> None:
        """Open the store where there is one. Raises TrackingError, so that a fit is not in vain."""
        if self.root.exists():
            with self._client("move it away or mend it, then train again") as client:
                client.search_experiments(max_results=1)

    def log(self, record: RunRecord, bundle: Bundle, folder: Path) -> str:
        """Log a run with its bundle as a pyfunc, register it and give it the alias `candidate`; returns the run id."""
        with self._client() as client:
            import mlflow

            run = client.create_run(self._experiment(client), run_name=record.run_name, tags=dict(record.tags))
            run_id = str(run.info.run_id)
            for key, value in record.params.items():
                client.log_param(run_id, key, value)
            for key, number in record.metrics.items():
                client.log_metric(run_id, key, number)
            for path, document in record.documents.items():
                client.log_dict(run_id, document, path)
            with mlflow.start_run(run_id=run_id), _silence():
                model = self._log_model(bundle, folder)
            version_ = client.create_model_version(
                self._registered(client), model.model_uri, run_id, model_id=model.model_id
            )
            client.set_model_version_tag(self.name, version_.version, "bundle.sha256", bundle.sha)
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
            run_id = self._fill(client, experiment, parent, top)
            for child in children:
                if child.tags["tuning.trial"] not in known:
                    nested = replace(child, tags={**child.tags, MLFLOW_PARENT_RUN_ID: run_id})
                    self._fill(client, experiment, nested)
            return run_id

    def _fill(self, client: MlflowClient, experiment: str, record: RunRecord, run_id: str = "") -> str:
        """Write a record into a run, a new one without `run_id`, and end it; returns its id."""
        from mlflow.entities import Metric, Param, RunTag

        if not run_id:
            run_id = str(client.create_run(experiment, run_name=record.run_name).info.run_id)
        now = round(time() * 1000)
        client.log_batch(
            run_id,
            metrics=[Metric(key, value, now, 0) for key, value in record.metrics.items()],
            params=[Param(key, value) for key, value in record.params.items()],
            tags=[RunTag(key, value) for key, value in record.tags.items()],
        )
        for path, document in record.documents.items():
            client.log_dict(run_id, document, path)
        client.set_terminated(run_id)
        return run_id

    def go_live(self, sha: str) -> str:
        """Give the alias `live` to the version whose bundle is `sha` and return it; the one before is kept as a tag."""
        with self._client() as client:
            found = [
                v for v in client.search_model_versions(f"name='{self.name}'") if v.tags.get("bundle.sha256") == sha
            ]
            if not found:
                raise TrackingError(
                    f"no version of {self.name} holds bundle {sha[:12]}: train again, so that the run is tracked"
                )
            chosen = max(found, key=lambda v: int(v.version))
            aliases = client.get_registered_model(self.name).aliases
            if before := aliases.get(Alias.LIVE.value):
                client.set_registered_model_tag(self.name, "live.before", str(before))
            client.set_registered_model_alias(self.name, Alias.LIVE.value, chosen.version)
            return str(chosen.version)

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
            pip_requirements=[
                f"{name}=={version(name)}" for name in ("forecastle", "lightgbm", "numpy", "mlflow-skinny")
            ],
        )

    def _experiment(self, client: MlflowClient) -> str:
        found = client.get_experiment_by_name(self.name)
        if found is not None:
            return str(found.experiment_id)
        return str(client.create_experiment(self.name, artifact_location=(self.root / "artifacts").as_uri()))

    def _registered(self, client: MlflowClient) -> str:
        if not client.search_registered_models(f"name='{self.name}'"):
            client.create_registered_model(self.name)
        return self.name

    @contextmanager
    def _client(self, remedy: str = SAFE) -> Iterator[MlflowClient]:
        """Open the store quietly, confined to the state directory; errors of it become a TrackingError."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TrackingError(f"{self.root}: cannot be made a folder ({error.strerror}); {remedy}") from error
        os.environ.update(QUIET | {"MLFLOW_TRACKING_URI": self.uri})
        with warnings.catch_warnings(), Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
            warnings.simplefilter("ignore")
            import mlflow
            from mlflow.exceptions import MlflowException
            from sqlalchemy.exc import SQLAlchemyError

            for name in ("mlflow", "alembic"):
                logging.getLogger(name).setLevel(logging.ERROR)
            mlflow.set_tracking_uri(self.uri)
            try:
                yield mlflow.MlflowClient(self.uri)
            except (MlflowException, SQLAlchemyError) as error:
                said = str(error).partition("\n")[0]  # the rest of a database's error is SQL
                raise TrackingError(f"{self.uri}: {said}; {remedy}") from error


@contextmanager
def _silence(errors: bool = True) -> Iterator[None]:
    """Keep MLflow's prints off standard output, and its advice off standard error too; exceptions come through."""
    with (
        Path(os.devnull).open("w") as nowhere,
        redirect_stdout(nowhere),
        redirect_stderr(nowhere if errors else sys.stderr),
    ):
        yield
