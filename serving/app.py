"""The HTTP service as a Starlette app. It runs under any ASGI server; `serving.service` mounts it in BentoML.

======  ================================  =====================================================
POST    ``/v1/deals/score``               probabilities with reasons for deals given inline
POST    ``/v1/leads/score``               the same for leads, by the model of `serving.leads`
POST    ``/v1/rows/score``                the probability for ready feature rows (all three `serving.routes_scores`)
POST    ``/v1/events``                    what a CRM pushes (`serving.routes_events`)
POST    ``/v1/jobs/score``                more deals than one answer holds (`serving.routes_jobs`)
GET     ``/v1/jobs/{job_id}``             how a job stands, and below it ``/result``, a page at a time
GET     ``/v1/deals/{deal_id}/score``     the same of a stored deal (`serving.routes_deals`)
GET     ``/v1/deals``                     the latest stored scores, a page at a time
GET     ``/v1/forecast``                  the stored forecast by node (`serving.routes_forecast`)
GET     ``/v1/forecast/bridge``           what moved between two forecasts
GET     ``/v1/accuracy``                  what was said in past periods against what happened
GET     ``/v1/model``                     the model's card (`serving.routes_about`)
GET     ``/v1/health``                    the process answers; no key
GET     ``/v1/ready``                     a model is loaded, and it is not about to stop, else 503; no key
GET     ``/v1/status``                    the model, how fresh its facts are, the limits
GET     ``/v1/openapi.json``              the contract (`serving.operations`); no key
GET     ``/v1/metrics``                   counts and times for Prometheus
*       all else                          the manager's pages (`serving.pages.site`)
======  ================================  =====================================================
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Scope as AsgiScope

from configs.errors import (
    BusyError,
    ForecastleError,
    MethodNotAllowedError,
    NotFoundError,
    RequestError,
    RequestTimeoutError,
    TooLargeError,
)
from configs.schema import Config
from serving.answers import identity, iso, to_json
from serving.api import Api, Clock, Slot, clock
from serving.auth import KeyRing, keys_file
from serving.facts import SOURCE
from serving.frame import Frame, Log, log_line, problem_response
from serving.metrics import Metrics
from serving.pages.site import Site, for_people
from serving.principal import Scope
from serving.routes_about import AboutRoutes
from serving.routes_accuracy import AccuracyRoutes
from serving.routes_deals import DealRoutes
from serving.routes_events import EventRoutes
from serving.routes_forecast import ForecastRoutes
from serving.routes_jobs import JobRoutes
from serving.routes_scores import ScoreRoutes
from serving.spans import Spans, spans_of
from serving.store.engine import open_store
from serving.tokens import Tokens


class StateRoutes:
    """How the service is."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def health(self, request: Request) -> Response:
        """The process answers."""
        return _json({"status": "ok"})

    async def ready(self, request: Request) -> Response:
        """A model is loaded, and the service is not about to stop."""
        return _json({"status": "ready", "model_version": self._api.ready().bundle.version})

    async def status(self, request: Request) -> Response:
        """What is served, and how fresh it is."""
        api = self._api
        api.principal(request, Scope.STATUS)
        loaded = api.model()
        about, facts = loaded.bundle.about, loaded.facts
        return _json(
            identity(loaded)
            | {
                "name": about.name,
                "target": about.target,
                "time_zone": about.time_zone,
                "trained_as_of": iso(about.trained_as_of),
                "trained_on": {"rows": about.rows, "deals": about.deals, "since": iso(about.first_as_of)},
                "features": len(loaded.bundle.plan.names),
                "feature_names": loaded.bundle.plan.names,
                "heads": loaded.bundle.heads.names(),
                "stages": list(about.stages.order),
                "reference": {
                    "origin": facts.origin,
                    "fresh": facts.origin == SOURCE,
                    "why": facts.why,
                    "closed_deals": len(facts.reference.closes),
                    "reps": facts.reference.vocabulary.size("rep"),
                },
                "limits": {
                    "body_bytes": api.most_bytes,
                    "deals_plain": api.limits.max_deals_plain,
                    "deals_explained": api.limits.max_deals_explained,
                    "events_per_deal": api.limits.max_events_per_deal,
                    "events": api.limits.max_events,
                    "job_deals": api.limits.jobs.max_deals,
                    "job_bytes": round(api.limits.jobs.max_mb * 1_000_000),
                },
                "ledger": api.ledger_told(),
                "watch": api.watched.told(),
                "leads": None if api.leads is None else _leads_told(api.leads),
            }
        )


def _leads_told(slot: Slot) -> dict[str, object]:
    """Return what the status says of leads; model: None until there is one."""
    loaded, model = slot.loaded, None
    if loaded is not None:
        about, facts = loaded.bundle.about, loaded.facts
        model = identity(loaded) | {
            "name": about.name,
            "trained_as_of": iso(about.trained_as_of),
            "fields": [*about.schema.dimensions, *about.schema.numbers],
            "reference_origin": facts.origin,
            "reference_why": facts.why,
        }
    return {"model": model, "watch": slot.watched.told()}


def create_app(
    config: Config, now: Clock = clock, log: Log = log_line, spans: Callable[[], Spans | None] = spans_of
) -> Starlette:
    """Return the app; set ``app.state.api.loaded`` to make it ready. ``app.state.spans()`` are its spans.

    Where the config names leads, the model of ``app.state.api.leads`` is loaded by another watch.
    """
    spans = cache(spans)  # one for the app, made by the process that serves, when a first request comes
    keys = KeyRing(keys_file(config), lambda code: log({"event": "keys_unreadable", "code": code}))
    metrics = Metrics()
    oauth = config.serving.oauth
    tokens = None if oauth is None else Tokens(oauth, lambda code: log({"event": "jwks_unreadable", "code": code}))
    api = Api(config.serving, keys, tokens, now, partial(open_store, config), metrics)
    if config.serving.leads is not None:
        api.leads = Slot(now)
    scores, events, deals = ScoreRoutes(api), EventRoutes(api), DealRoutes(api)
    jobs, states, about = JobRoutes(api), StateRoutes(api), AboutRoutes(api, config.state_dir)
    forecasts, accuracy = ForecastRoutes(api), AccuracyRoutes(api, config.state_dir)
    site = Site(api, config)
    told, unrouted = partial(_told, site), partial(_unrouted, site)
    admitted = api.admission.admitted
    routes = [
        Route("/v1/deals/score", admitted(scores.deals), methods=["POST"]),
        Route("/v1/leads/score", admitted(scores.leads), methods=["POST"]),
        Route("/v1/rows/score", admitted(scores.rows), methods=["POST"]),
        Route("/v1/deals", admitted(deals.listed)),
        Route("/v1/deals/{deal_id}/score", admitted(deals.score)),
        Route("/v1/forecast", admitted(forecasts.forecast)),
        Route("/v1/forecast/bridge", admitted(forecasts.bridge)),
        Route("/v1/accuracy", admitted(accuracy.accuracy)),
        Route("/v1/model", about.model),
        Route("/v1/events", admitted(events.take), methods=["POST"]),
        Route("/v1/jobs/score", admitted(jobs.make), methods=["POST"]),
        Route("/v1/jobs/{job_id}", admitted(jobs.told)),
        Route("/v1/jobs/{job_id}/result", admitted(jobs.result)),
        Route("/v1/health", states.health),
        Route("/v1/ready", states.ready),
        Route("/v1/status", states.status),
        Route("/v1/openapi.json", about.contract),
        Route("/v1/metrics", about.metrics),
        *site.routes(),
    ]
    app = Starlette(
        routes=routes,
        middleware=[Middleware(Frame, metrics=metrics, log=log, answer=partial(_error_response, site), spans=spans)],
        exception_handlers={ForecastleError: told, HTTPException: unrouted},
    )
    app.router.redirect_slashes = False
    app.state.api, app.state.spans = api, spans
    return app


def _error_response(site: Site, error: ForecastleError, scope: AsgiScope) -> Response:
    """Return an error as people or programs read it."""
    return site.error(error, scope) if for_people(scope) else problem_response(error, scope)


async def _told(site: Site, request: Request, error: Exception) -> Response:
    """An error of ours as a page or a problem document."""
    if not isinstance(error, RequestError) and getattr(error, "status", 500) >= 500:
        raise error  # the frame answers it and logs where it came from
    assert isinstance(error, ForecastleError)  # noqa: S101 -- registered for this class alone
    request.scope["state"]["code"] = error.code
    response = _error_response(site, error, request.scope)
    if isinstance(error, TooLargeError | RequestTimeoutError):
        response.headers["Connection"] = "close"
    if isinstance(error, BusyError):
        request.app.state.api.metrics.shed(error.code)
    return response


async def _unrouted(site: Site, request: Request, error: Exception) -> Response:
    """What no route takes: 404, or 405 with the methods that are allowed (204 for OPTIONS)."""
    headers = getattr(error, "headers", None) or {}
    if getattr(error, "status_code", 404) != MethodNotAllowedError.status:
        told: ForecastleError = NotFoundError("there is no such route; see the routes in README.md")
        return await _told(site, request, told)
    allow = ", ".join(sorted({"OPTIONS", *headers.get("Allow", "").split(", ")} - {""}))
    if request.method == "OPTIONS":
        return Response(status_code=204, headers={"Allow": allow})
    response = await _told(site, request, MethodNotAllowedError(f"this route takes {allow}"))
    response.headers["Allow"] = allow
    return response


def _json(document: dict[str, object]) -> Response:
    return Response(to_json(document), media_type="application/json")


__all__ = ["Api", "ClientDisconnect", "clock", "create_app"]
