"""Write the generated tables of the documents and the contract anew: `make docs`. Tests fail where one is stale."""

from __future__ import annotations

from pathlib import Path

from configs.console import say
from configs.schema import Serving
from serving import openapi
from training.catalogue import rendered

ROOT = Path(__file__).resolve().parent.parent
PAGES = (
    *("README.md", "docs/config.md", "docs/features.md", "docs/flags.md"),
    *("docs/hubspot.md", "docs/salesforce.md"),
)
CONTRACT = "docs/openapi.json"


def main() -> None:
    """Rewrite the blocks of every page, and tell which pages changed."""
    for name in PAGES:
        _write(name, rendered((ROOT / name).read_text(encoding="utf-8")))
    _write(CONTRACT, openapi.text(Serving()))


def _write(name: str, after: str) -> None:
    page = ROOT / name
    changed = not page.exists() or page.read_text(encoding="utf-8") != after
    if changed:
        page.write_text(after, encoding="utf-8")
    say(f"{name}: {'written' if changed else 'as it was'}")


if __name__ == "__main__":
    main()
