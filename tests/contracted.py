"""Holds answers of the service against its own contract, as a caller would who believes every word of it."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import httpx
from jsonschema import Draft202012Validator
from starlette.testclient import TestClient

from configs.schema import Serving
from serving.openapi import document
from serving.operations import OPERATIONS, Operation
from serving.problems import MEDIA_TYPE

LARGEST = 300_000  # bytes of an answer that is looked at: a long list repeats itself
REF = "#/components/schemas/"


def strict(schema: Any) -> Any:
    """The schema as JSON Schema, where an answer holds nothing that is not told."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    told = {name: strict(value) for name, value in schema.items() if name != "nullable"}
    if schema.get("nullable"):
        told["type"] = [schema["type"], "null"]
    if isinstance(schema.get("properties"), dict) and "additionalProperties" not in schema:
        told["additionalProperties"] = False
    return told


@cache
def validator(name: str) -> Draft202012Validator:
    """A validator of one schema of the contract."""
    components = strict(document(Serving())["components"])
    return Draft202012Validator({"$ref": REF + name, "components": components})


def faults(name: str, value: Any) -> list[str]:
    """What is wrong with a value that should be of a schema."""
    return [f"{error.json_path}: {error.message[:200]}" for error in validator(name).iter_errors(value)]


def operation_of(method: str, path: str) -> Operation | None:
    """The operation that a request asks for, None for none."""
    for each in OPERATIONS:
        if each.method == method and re.fullmatch(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(each.path)), path):
            return each
    return None


def check(answer: httpx.Response) -> None:
    """Raise AssertionError where an answer is not what the contract says."""
    answer.read()
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", answer.headers["x-request-id"])
    if answer.request.method in ("HEAD", "OPTIONS") or len(answer.content) > LARGEST:
        return
    media = answer.headers["content-type"].partition(";")[0]
    each = operation_of(answer.request.method, answer.request.url.raw_path.decode().partition("?")[0])
    if answer.is_success:
        assert each is not None
        assert answer.status_code == each.status
        assert media == each.media
        if each.answer is not None:
            assert faults(each.answer.__name__, answer.json()) == []
        return
    told = answer.json()
    assert media in (MEDIA_TYPE, "application/json")
    assert faults("Problem", told) == []
    assert (told["status"], told["request_id"]) == (answer.status_code, answer.headers["x-request-id"])
    known = {(kind.status, kind.code) for kind in each.problems} if each is not None else set()
    strange = {(404, "not_found"), (405, "method_not_allowed")}
    assert (answer.status_code, told["code"]) in (known or strange), f"{answer.request.method} {answer.request.url}"


def everything(schema: Any) -> list[dict[str, Any]]:
    """Every object inside a document."""
    inner = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ()
    return ([schema] if isinstance(schema, dict) else []) + [one for each in inner for one in everything(each)]


def checked(client: TestClient) -> TestClient:
    """The client, which fails where an answer is not what the contract says."""
    client.event_hooks["response"].append(check)
    return client
