"""What every refresh begins with: the live model, the store, and the source as the model sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from configs.schema import Config
from models.bundle import Bundle
from serving.batch import check_as_of, stale_source
from serving.fits import load_fitting
from serving.refresh import Sourced, sourced
from serving.store.engine import PATIENT_S, Store, open_store


@contextmanager
def refreshing(config: Config, as_of: int, progress: Callable[[str], None]) -> Iterator[tuple[Bundle, Store, Sourced]]:
    """Open the store for a refresh as of an instant (UTC microseconds), and read the source; closes the store.

    Raises UsageError, InSampleError, a BundleError, a DataError or StoreError.
    """
    bundle = load_fitting(config, tell=progress)
    check_as_of(bundle, [as_of], False)
    store = open_store(config, patience=PATIENT_S)
    try:
        progress(f"model {bundle.version}; reading the source")
        seen = sourced(config, bundle)
        if warning := stale_source(seen, as_of, config.time_zone):
            progress(warning)
        yield bundle, store, seen
    finally:
        store.close()
