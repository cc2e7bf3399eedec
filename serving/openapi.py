"""The contract of the service as an OpenAPI 3.0.3 document, made from the types that requests and answers have.

It keeps to what importers of CRMs understand (Salesforce External Services among them): simple types, no unions, no
header that an answer needs. Where a request may say null for what it leaves out, the contract only lets it be left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from configs.errors import ForecastleError
from configs.schema import Serving
from serving.events import Event, EventsRequest
from serving.kinds import DEALS, LEADS
from serving.operations import OPERATIONS, Operation, Parameter
from serving.problems import MEDIA_TYPE, problem
from serving.replies import Problem
from serving.rows import RowsRequest
from serving.schemas import MAX_MEMBERS, Deal, JobRequest, Lead, LeadsRequest, ScoreRequest

VERSION = "1.0.0"
"""Of the contract. What is only added to it raises the second number; ``/v1`` lasts as long as the first is 1."""
_REF = "#/components/schemas/"
_REQUESTS = (ScoreRequest, JobRequest, Deal, LeadsRequest, Lead, RowsRequest, EventsRequest, Event)
_ABOUT = (
    "Scores of sales deals and leads with reasons, and the store that a CRM feeds. Errors are RFC 9457 problem "
    "documents, sent as application/json where Accept does not allow application/problem+json; each has a stable code. "
    "Every answer has the header X-Request-Id, every problem and every answer about deals or leads also request_id in "
    "its body. Members may be added to answers under /v1, so ignore what is not known."
)
_BEARER = (
    "an API key; `forecastle keys create` makes one. Where the service has serving.oauth, also an OAuth 2 access token "
    "(JWT) of its issuer, with the scope that the operation needs"
)

Schema = dict[str, Any]


def document(limits: Serving) -> Schema:
    """Return the contract of a service with these limits."""
    schemas = _requests(limits) | _answers()
    paths: dict[str, Any] = {}
    for each in OPERATIONS:
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each)
    bearer = {"type": "http", "scheme": "bearer", "bearerFormat": "API key or JWT", "description": _BEARER}
    header = {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "an API key"}
    return {
        "openapi": "3.0.3",
        "info": {"title": "Forecastle", "version": VERSION, "description": _ABOUT, "license": {"name": "Apache-2.0"}},
        "servers": [{"url": "/", "description": "the service that gave this document"}],
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": {"bearer": bearer, "header": header}},
    }


def text(limits: Serving) -> str:
    """Return the contract as the text of docs/openapi.json."""
    return json.dumps(document(limits), indent=1, ensure_ascii=False) + "\n"


def _operation(each: Operation) -> Schema:
    scope = f"Needs a key with the scope `{each.scope}`." if each.scope is not None else "Needs no key."
    told: Schema = {
        "operationId": each.name,
        "summary": each.summary,
        "description": f"{each.more} {scope}".strip(),
        "security": [{"bearer": []}, {"header": []}] if each.scope is not None else [],
    }
    if each.parameters:
        told["parameters"] = [_parameter(one, each.path) for one in each.parameters]
    if each.request is not None:
        examples = {name: {"summary": name, "value": value} for name, value in each.requests.items()}
        content = {"schema": {"$ref": _REF + each.request.__name__}, "examples": examples}
        told["requestBody"] = {"required": True, "content": {"application/json": content}}
    schema = {"type": "string"} if each.answer is None else {"$ref": _REF + each.answer.__name__}
    good = {"description": each.told, "content": {each.media: {"schema": schema, "example": each.example}}}
    return told | {"responses": {str(each.status): good} | _problems(each)}


def _parameter(one: Parameter, path: str) -> Schema:
    place = "path" if f"{{{one.name}}}" in path else "header" if one.header else "query"
    told = {"name": one.name, "in": place, "description": one.about, "schema": dict(one.schema)}
    return (
        told | ({"required": True} if one.required else {}) | ({} if one.example is None else {"example": one.example})
    )


def _problems(each: Operation) -> Schema:
    """Return a response for each status of the problems that an operation may have, with the codes and an example."""
    found: dict[int, list[type[ForecastleError]]] = {}
    for kind in each.problems:
        found.setdefault(kind.status, []).append(kind)
    return {str(status): _problem(status, kinds, each) for status, kinds in sorted(found.items())}


def _problem(status: int, kinds: Sequence[type[ForecastleError]], each: Operation) -> Schema:
    codes = ", ".join(f"`{kind.code}`: {kind.title}" for kind in kinds)
    shown = problem(kinds[0](), "2af285004200be50", each.path)
    content = {"schema": {"$ref": _REF + Problem.__name__}, "example": shown}
    return {
        "description": f"{HTTPStatus(status).phrase}. {codes}.",
        "content": {MEDIA_TYPE: content, "application/json": content},
    }


def _requests(limits: Serving) -> dict[str, Schema]:
    """Return the schemas of requests, with the limits that are checked beside the types."""
    found = _schemas(_REQUESTS, "validation", nulls=False)
    for item, kind, request in (("Deal", DEALS, "ScoreRequest"), ("Lead", LEADS, "LeadsRequest")):
        for name in kind.lists:
            found[item]["properties"][name]["maxItems"] = limits.max_events_per_deal
        found[item]["description"] += f" At most {limits.max_events_per_deal:,} rows in all its lists."
        items = found[request]["properties"][kind.many]
        items |= {"items": {"$ref": _REF + item}, "maxItems": limits.max_deals_plain}
        items["description"] += f"; at most {limits.max_deals_explained:,} where explain is true"
    found["JobRequest"]["properties"]["deals"] |= {"items": {"$ref": _REF + "Deal"}, "maxItems": limits.jobs.max_deals}
    for name in ("rows", "ids"):
        found["RowsRequest"]["properties"][name]["maxItems"] = limits.max_deals_plain
    events = found["EventsRequest"]["properties"]["events"]
    events |= {"items": {"$ref": _REF + "Event"}, "maxItems": limits.max_events}
    for name in ("Deal", "Lead", "Created"):
        found[name]["properties"]["attributes"]["maxProperties"] = MAX_MEMBERS
    return found


def _answers() -> dict[str, Schema]:
    kinds = dict.fromkeys(each.answer for each in OPERATIONS if each.answer is not None)
    return _schemas((*kinds, Problem), "serialization", nulls=True)


def _schemas(kinds: Sequence[Any], mode: JsonSchemaMode, nulls: bool) -> dict[str, Schema]:
    """Return the schemas of types and of all that they are made of, in the words of OpenAPI 3.0.3, by name."""
    asked = [(kind, mode, TypeAdapter(kind)) for kind in kinds]
    _, told = TypeAdapter.json_schemas(asked, ref_template=_REF + "{model}")
    parts = told["$defs"]
    return {name: _plain(part, parts, nulls) for name, part in sorted(parts.items())}


def _plain(schema: Schema, parts: Mapping[str, Schema], nulls: bool) -> Schema:
    """Return a JSON Schema of pydantic's in the words of OpenAPI 3.0.3: `nullable` or nothing instead of a union."""
    if "anyOf" in schema:
        (one,) = [each for each in schema["anyOf"] if each != {"type": "null"}]
        if not nulls:
            return _plain(one, parts, nulls)
        whole = parts[one["$ref"].removeprefix(_REF)] if "$ref" in one else one  # nothing may stand beside a $ref
        return _plain(whole, parts, nulls) | {"nullable": True}
    told = {name: value for name, value in schema.items() if name not in ("title", "propertyNames", "const")}
    if "const" in schema:
        told["enum"] = [schema["const"]]
    if "properties" in schema:
        told["properties"] = {name: _plain(part, parts, nulls) for name, part in schema["properties"].items()}
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), dict):
            told[name] = _plain(schema[name], parts, nulls)
    return told
