"""Write the generated tables of the documents anew: `make docs`. tests/test_docs.py fails where one is out of date."""

from __future__ import annotations

from pathlib import Path

from configs.console import say
from training.catalogue import rendered

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("README.md", "docs/config.md", "docs/features.md", "docs/flags.md", "docs/salesforce.md")


def main() -> None:
    """Rewrite the blocks of every page, and tell which pages changed."""
    for name in PAGES:
        page = ROOT / name
        before = page.read_text(encoding="utf-8")
        after = rendered(before)
        if after != before:
            page.write_text(after, encoding="utf-8")
        say(f"{name}: {'written' if after != before else 'as it was'}")


if __name__ == "__main__":
    main()
