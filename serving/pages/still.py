"""A page made still: what a browser asks of a service becomes what it finds in a folder, or nothing at all.

Links lead to files of the report, relative to the page; those that lead elsewhere are plain text. Forms are left out,
and so is every attribute that htmx reads: there is nobody to ask.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from html.parser import HTMLParser
from urllib.parse import urldefrag, urljoin, urlsplit

LINKS = {"a": "href", "area": "href", "img": "src", "link": "href", "script": "src"}
ALONE = "hx-"
Leads = Callable[[str], str | None]
"""From an address of the site, such as ``/deals?view=at_risk``, to what stands in the report instead; None: nothing."""

Attributes = Sequence[tuple[str, str | None]]


def still(page: str, address: str, leads: Leads) -> str:
    """Return a page for a folder. address: where the site has it; leads: where its links lead."""
    reader = _Still(address, leads)
    reader.feed(page)
    reader.close()
    return "".join(reader.out)


class _Still(HTMLParser):
    """Gives a page back as it was but for links, forms and htmx."""

    def __init__(self, address: str, leads: Leads) -> None:
        super().__init__(convert_charrefs=False)
        self.out: list[str] = []
        self._address, self._leads = address, leads
        self._in_form = False

    def handle_starttag(self, tag: str, attrs: Attributes) -> None:
        """Pass a tag on with its links led elsewhere."""
        self._in_form = self._in_form or tag == "form"
        self._pass(self._led(tag, attrs))

    def handle_startendtag(self, tag: str, attrs: Attributes) -> None:
        """The same of one that ends itself, as in a drawing."""
        self._pass(self._led(tag, attrs))

    def handle_endtag(self, tag: str) -> None:
        """Pass the end of a tag on."""
        self._pass(f"</{tag}>")
        self._in_form = self._in_form and tag != "form"

    def handle_data(self, data: str) -> None:
        """Pass text on, escaped as it was; scripts too."""
        self._pass(data)

    def handle_entityref(self, name: str) -> None:
        """Pass a named character on."""
        self._pass(f"&{name};")

    def handle_charref(self, name: str) -> None:
        """Pass a numbered character on."""
        self._pass(f"&#{name};")

    def handle_decl(self, decl: str) -> None:
        """Pass the document's kind on."""
        self._pass(f"<!{decl}>")

    def _pass(self, text: str) -> None:
        if not self._in_form:
            self.out.append(text)

    def _led(self, tag: str, attrs: Attributes) -> str:
        whole = self.get_starttag_text() or ""
        link = LINKS.get(tag)
        if link not in dict(attrs) and not any(name.startswith(ALONE) for name, _ in attrs):
            return whole
        kept = []
        for name, value in attrs:
            told = self._lead(value or "") if name == link else value
            if not name.startswith(ALONE) and not (name == link and told is None):
                kept.append(name if told is None else f'{name}="{escape(told)}"')
        end = "/>" if whole.endswith("/>") else ">"
        return f"<{' '.join([tag, *kept])}{end}"

    def _lead(self, link: str) -> str | None:
        """Return where a link leads: within the page as it did, else to a file; None where there is none."""
        if link.startswith(("#", "data:")):
            return link
        there = urljoin(self._address, link)
        split = urlsplit(there)
        if split.scheme or split.netloc:
            return None
        whole, fragment = urldefrag(there)
        found = self._leads(whole)
        return f"{found}#{fragment}" if found is not None and fragment else found
