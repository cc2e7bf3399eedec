"""What ``config show`` and ``config schema`` print."""

import json
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from configs.document import KeyPath
from configs.load import Traced
from configs.schema import Config

_COMMENT_COLUMN = 48
_DRAFT = "http://json-schema.org/draft-07/schema#"


def resolved(traced: Traced) -> str:
    """Return the config as YAML text, every value with its origin as a comment.

    Origins: ``default``, ``file:line:column`` or ``--set a.b=c``.
    The text is a config again, but for ``source.mapping``, which is given as it was found.
    """
    return "".join(f"{line}\n" for line in _lines(traced, traced.config, ()))


def _lines(traced: Traced, block: BaseModel, above: KeyPath) -> Iterator[str]:
    indent = "  " * len(above)
    plain = block.model_dump(mode="json")
    for name in type(block).model_fields:
        path, value = (*above, name), getattr(block, name)
        if isinstance(value, BaseModel):
            yield f"{indent}{name}:"
            yield from _lines(traced, value, path)
            continue
        origin = traced.origins.get(path, "default")
        # JSON is YAML; it keeps "012" a text and 12 a number whatever reads it.
        text = f"{indent}{name}: {json.dumps(plain[name], ensure_ascii=False)}"
        yield f"{text:<{_COMMENT_COLUMN}}  # {origin}"


def json_schema() -> str:
    """Return the JSON Schema (draft-07, which editors read) of a config file; kept in ``configs/schema.json``."""
    schema = Config.model_json_schema(ref_template="#/definitions/{model}")
    schema["definitions"] = schema.pop("$defs")
    schema["title"] = "Forecastle config"
    return json.dumps({"$schema": _DRAFT, **_draft_07(schema)}, indent=2, sort_keys=True) + "\n"


def _draft_07(node: Any) -> Any:
    """Return a schema without what draft-07 lacks: ``discriminator``, and words beside a ``$ref``, which it ignores."""
    if isinstance(node, list):
        return [_draft_07(item) for item in node]
    if not isinstance(node, dict):
        return node
    kept = {key: _draft_07(value) for key, value in node.items() if key != "discriminator"}
    if "$ref" in kept and len(kept) > 1:
        kept["allOf"] = [{"$ref": kept.pop("$ref")}]
    return kept
