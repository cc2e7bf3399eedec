"""What no line of this project may do: run what was read. Found in the syntax: comments and texts may speak of it."""

from __future__ import annotations

import ast
from collections.abc import Iterator

MODULES = frozenset({"cloudpickle", "dill", "jsonpickle", "joblib", "marshal", "pickle", "shelve"})
NAMES = frozenset({"eval", "exec", "__import__"})
CALLS = frozenset({"os.system", "os.popen", "yaml.unsafe_load", "yaml.full_load", "yaml.load_all", "tempfile.mktemp"})
SAFE_LOADERS = ("SafeLoader", "BaseLoader")  # and their C twins, whose names end alike
READERS = frozenset({"read_pickle", "to_pickle"})


def unsafe(source: str) -> Iterator[str]:
    """Yield ``line: what`` of each unsafe thing in a module's text."""
    for node in ast.walk(ast.parse(source)):
        for what in _of(node):
            yield f"{node.lineno}: {what}"  # type: ignore[attr-defined]  # only nodes that stand somewhere say anything


def _of(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (f"import {one.name}" for one in node.names if one.name.partition(".")[0] in MODULES)
    elif isinstance(node, ast.ImportFrom):
        if (node.module or "").partition(".")[0] in MODULES:
            yield f"from {node.module} import"
    elif isinstance(node, ast.Call):
        yield from _of_call(node)


def _of_call(call: ast.Call) -> Iterator[str]:
    name = ast.unparse(call.func)
    last = name.rpartition(".")[2]
    given = {one.arg: one.value for one in call.keywords}
    if name in NAMES or name in CALLS or last in READERS:
        yield f"{name}()"
    for option in ("shell", "allow_pickle"):
        if option in given and not (isinstance(given[option], ast.Constant) and not given[option].value):  # type: ignore[attr-defined]
            yield f"{option} is not plainly False"
    if name == "yaml.load":
        loader = given.get("Loader", call.args[1] if len(call.args) > 1 else None)
        if loader is None or not ast.unparse(loader).endswith(SAFE_LOADERS):
            yield "yaml.load without a safe loader"
    if name == "importlib.import_module" and call.args and not isinstance(call.args[0], ast.Constant | ast.JoinedStr):
        yield "an import by a name that is computed"
