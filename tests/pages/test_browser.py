"""The pages in a real browser: a manager's Monday, what axe finds, hostile texts, and no request to anywhere else.

Screenshots go to ``build/pages``. Without Chromium these tests are skipped, unless FORECASTLE_CHROMIUM is "required".
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from serving.report_command import Wanted, write_report
from serving.store.engine import FILE
from tests.paged import app_of, copy_of, key_for, on_a_socket
from tests.payloads import PAYLOADS
from tests.stored import Office

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SHOTS = Path(__file__).parents[2] / "build/pages"
AXE = (Path(__file__).parent / "assets/axe.min.js").read_text()
WATCH = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (e) => violations.push(e.violatedDirective + " " + e.blockedURI));
for (const name of ["alert", "confirm", "prompt", "print"]) window[name] = () => violations.push(name + " was called");
"""
TALL = {"width": 1366, "height": 900}

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Debian's Chromium with a home of its own; for this module alone, since Playwright holds an event loop."""
    if not CHROMIUM.exists():
        if os.environ.get("FORECASTLE_CHROMIUM") == "required":
            pytest.fail(f"{CHROMIUM} is not there: apt-get install chromium")
        pytest.skip(f"{CHROMIUM} is not there: apt-get install chromium")
    home = str(tmp_path_factory.mktemp("chromium"))
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=CHROMIUM, args=[*FLAGS], env={**os.environ, "HOME": home, "XDG_CONFIG_HOME": home}
        )
        yield launched
        launched.close()


@dataclass
class Seen:
    """A page, where the site is, and what was noticed meanwhile."""

    page: Page
    root: str
    requests: list[str] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)

    def go(self, path: str) -> None:
        self.page.goto(self.root + path)

    def log_in(self, key: str) -> None:
        self.go("/login")
        self.page.fill("#key", key)
        self.page.click("button.main")
        self.page.wait_for_url("**/forecast")

    def shot(self, name: str, tall: int | None = None) -> None:
        """Take a picture of the page, or of its first so many pixels."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        clip: Any = (
            None if tall is None else {"x": 0, "y": 0, "width": self.page.viewport_size["width"], "height": tall}
        )
        self.page.screenshot(path=SHOTS / f"{name}.png", full_page=True, clip=clip)

    def violations(self) -> list[str]:
        found: list[str] = self.page.evaluate("window.violations")
        return found

    def check(self) -> None:
        """Nothing was asked of anybody else, nothing was complained of."""
        assert [url for url in self.requests if not url.startswith((self.root, "data:"))] == []
        assert self.trouble == []
        assert self.violations() == []


def opened(browser: Browser, root: str, **more: Any) -> tuple[BrowserContext, Seen]:
    context = browser.new_context(**{"viewport": TALL, "locale": "en-GB"} | more)
    if more.get("java_script_enabled", True):
        context.add_init_script(WATCH)
    seen = Seen(context.new_page(), root)
    seen.page.on("request", lambda request: seen.requests.append(request.url))
    seen.page.on("console", lambda told: seen.trouble.append(told.text) if told.type in ("error", "warning") else None)
    seen.page.on("pageerror", lambda error: seen.trouble.append(str(error)))
    seen.page.on("dialog", lambda dialog: seen.trouble.append(f"dialog {dialog.message}"))
    return context, seen


@pytest.fixture(scope="module")
def root(office: Office) -> Iterator[str]:
    """The pages of the office on a socket."""
    with on_a_socket(app_of(office)) as address:
        yield address


@pytest.fixture(params=["light", "dark"])
def seen(request: pytest.FixtureRequest, browser: Browser, root: str, key: str) -> Iterator[Seen]:
    """Somebody logged in, in light and in dark."""
    context, one = opened(browser, root, color_scheme=request.param)
    one.log_in(key)
    yield one
    context.close()


def flagged(office: Office) -> str:
    """An open deal with the most flags."""
    asked = "SELECT deal_id FROM score_flags GROUP BY deal_id ORDER BY count(*) DESC, deal_id LIMIT 1"
    with sqlite3.connect(office.config.state_dir / "serving" / FILE) as store:
        return str(store.execute(asked).fetchone()[0])


def findings(page: Page) -> list[str]:
    """What axe finds that is serious or critical."""
    page.evaluate(AXE)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations'], preload: false})")
    return [
        f"{one['impact']} {one['id']}: {[node['html'][:160] for node in one['nodes'][:3]]}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
    ]


def test_axe_finds_nothing_serious(seen: Seen, office: Office, request: pytest.FixtureRequest) -> None:
    scheme = request.node.callspec.params["seen"]
    pages = {
        "forecast": "/forecast?open=*",
        "forecast_moves": "/forecast/moves?part=score_drift",
        "deals": "/deals",
        "deals_none": "/deals?q=no+such+deal",
        "deal": f"/deals/{flagged(office)}",
        "accuracy_before": "/accuracy",
        "missing": "/deals/nothing",
        "team": "/team",
        "funnel": "/funnel",
        "leads": "/leads",
        "leads_none": "/leads?view=all&grade=A&source=none",
        "data": "/data",
    }
    for name, path in pages.items():
        seen.go(path)
        if name in ("deal", "forecast", "funnel", "leads"):
            seen.page.wait_for_selector("figure[data-state=drawn]")
            seen.page.wait_for_function(
                "document.querySelectorAll('figure.chart:not([data-state=drawn])').length === 0"
            )
        seen.shot(f"{name}_{scheme}")
        assert findings(seen.page) == [], name
    seen.trouble = [told for told in seen.trouble if "404" not in told]  # the browser's word on the missing one
    seen.check()


def test_a_managers_monday(browser: Browser, root: str, office: Office, key: str) -> None:
    """From the number and what moved it to a word of her own on a deal at risk, and out again."""
    context, seen = opened(browser, root)
    seen.go("/")
    seen.shot("login")
    assert findings(seen.page) == []
    seen.log_in(key)
    page = seen.page
    page.wait_for_selector("figure[data-state=drawn] svg")
    assert "8 in 10 chance between" in page.inner_text(".number")
    page.click("table.bridge >> text=Score moved")
    page.wait_for_url("**/forecast/moves?part=score_drift")
    assert page.locator("tbody tr").count() > 0
    page.click("nav >> text=Deals")
    page.click("text=At risk")
    page.wait_for_url("**/deals?view=at_risk")
    assert page.locator("tbody tr").count() > 0
    page.click("thead >> text=Close date")
    page.wait_for_url("**sort=*close_date*")
    dates = page.locator("td[data-label='Close date']")
    assert dates.count() > 0
    page.select_option("#by-stage", index=1)
    page.wait_for_url("**stage=*")
    page.click("text=All open")
    page.wait_for_url("**/deals")
    seen.go(f"/deals/{flagged(office)}")
    page.wait_for_selector("figure[data-state=drawn] svg")
    page.fill("#of-100", "60")
    page.fill("#reason", "Their CFO called me on Friday.")
    page.click("text=Keep my word")
    page.wait_for_selector(".word")
    assert "60 of 100" in page.inner_text(".word")
    assert "Their CFO called me on Friday." in page.inner_text(".said")
    seen.shot("deal_with_a_word")
    page.click("text=Log out")
    page.wait_for_url("**/login")
    seen.check()
    context.close()


def test_it_works_without_scripts(browser: Browser, root: str, office: Office, key: str) -> None:
    context, seen = opened(browser, root, java_script_enabled=False)
    seen.log_in(key)
    seen.page.click("text=Show all reps")
    assert seen.page.locator("#rollup .depth-2").count() > 0
    seen.page.click("nav >> text=Deals")
    seen.page.click("text=At risk")
    seen.page.fill("#by-q", "a")
    seen.page.click("text=Show")
    assert "q=a" in seen.page.url
    assert "view=at_risk" in seen.page.url
    seen.go(f"/deals/{flagged(office)}")
    seen.page.click("text=The same as a table >> nth=0")
    assert seen.page.locator("figure table >> nth=0").is_visible()
    seen.page.click("nav >> text=Leads")
    seen.page.fill("#capacity", "7")
    seen.page.click("text=Plan")
    assert seen.page.locator("#leads tbody tr").count() == 7
    seen.page.select_option("#by-source", "referral")
    seen.page.click("text=Show")
    assert "capacity=7" in seen.page.url
    assert 0 < seen.page.locator("#leads tbody tr").count() < 7
    context.close()


@pytest.mark.parametrize(
    "path", ["/forecast", "/deals", "/deals/{flagged}", "/login", "/team", "/funnel", "/data", "/leads"]
)
def test_it_reflows_at_400_percent(browser: Browser, root: str, office: Office, key: str, path: str) -> None:
    """1280 pixels wide at 400 % is 320: nothing runs out to the right."""
    context, seen = opened(browser, root, viewport={"width": 320, "height": 256})
    if path != "/login":
        seen.log_in(key)
    seen.go(path.format(flagged=flagged(office)))
    seen.shot(f"narrow_{path.strip('/').partition('/')[0]}{'_one' if 'flagged' in path else ''}", 1600)
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= 320
    context.close()


def test_it_prints(browser: Browser, root: str, office: Office, key: str) -> None:
    context, seen = opened(browser, root)
    seen.log_in(key)
    for name in ("leads", "deals"):
        seen.go(f"/{name}")
        seen.page.emulate_media(media="print")
        seen.shot(f"{name}_print")
        assert not any(form.is_visible() for form in seen.page.locator("form.filters").all())
    assert seen.page.pdf().startswith(b"%PDF")
    context.close()


@pytest.fixture(scope="module")
def folder(past: Office, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report on disk."""
    out = tmp_path_factory.mktemp("report") / "monday"
    write_report(past.config, Wanted(out), lambda: past.now, lambda _: None)
    return out


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_report_opens_from_disk(browser: Browser, folder: Path, scheme: str) -> None:
    """By its links, with its charts, with nothing to complain of and no serious finding."""
    context, seen = opened(browser, folder.as_uri(), color_scheme=scheme)
    page = seen.page
    seen.go("/index.html")
    assert findings(page) == []
    seen.go("/deals.html")
    assert findings(page) == []
    page.click("tbody th a[href] >> nth=0")
    page.wait_for_selector("figure[data-state=drawn] svg")
    assert findings(page) == []
    seen.shot(f"report_deal_{scheme}")
    page.click("text=Accuracy")
    page.wait_for_selector("figure.chart:not([data-state=drawn])", state="detached")
    assert page.locator("figure.chart").count() == 4
    assert findings(page) == []
    seen.shot(f"accuracy_{scheme}")
    seen.check()
    context.close()


def test_accuracy_reflows_and_prints(browser: Browser, folder: Path) -> None:
    context, seen = opened(browser, folder.as_uri(), viewport={"width": 320, "height": 256})
    seen.go("/accuracy.html")
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= 320
    seen.shot("narrow_accuracy", 1600)
    seen.page.click("text=The same as a table >> nth=0")
    assert seen.page.locator("figure table >> nth=0").is_visible()
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= 320
    seen.page.emulate_media(media="print")
    assert seen.page.pdf().startswith(b"%PDF")
    context.close()


@pytest.fixture
def hostile(office: Office, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """The office with every text of the CRM hostile, and a key whose name is; the store is a copy."""
    spoilt = copy_of(office, tmp_path)
    with sqlite3.connect(spoilt.config.state_dir / "serving" / FILE) as store:
        spoil(store)
    with on_a_socket(app_of(spoilt)) as address:
        yield address, key_for(spoilt, "<img src=x onerror=alert(1)>")


def spoil(store: sqlite3.Connection) -> None:
    """Put the payloads into ids, names, stages, categories, owners, teams, sentences and evidence of open deals."""
    rows = store.execute("SELECT deal_id, answer FROM scores ORDER BY amount_cents DESC, deal_id").fetchall()
    for k, (deal, answer) in enumerate(rows):
        one, two, three, four = (PAYLOADS[(4 * k + part) % len(PAYLOADS)] for part in range(4))
        told = json.loads(answer)
        for n, reason in enumerate(told["reasons"]):
            reason["sentence"] = PAYLOADS[(k + n) % len(PAYLOADS)]
        for flag in told["flags"] or ():
            flag |= {"evidence": one, "next_look": two}
        spoilt = f"{deal} {one}"
        store.execute(
            "UPDATE scores SET deal_id = ?, answer = ?, stage = ?, category = ?, owner_id = ?, team = ?, "
            "model_version = ? WHERE deal_id = ?",
            [spoilt, json.dumps(told), three, four, f"rep {k}", four, two, deal],
        )
        store.execute(
            "UPDATE deals SET deal_id = ?, name = ?, account_name = ? WHERE deal_id = ?", [spoilt, one, two, deal]
        )
        store.execute("UPDATE score_flags SET deal_id = ? WHERE deal_id = ?", [spoilt, deal])
        store.execute(
            "UPDATE bridge_moves SET deal_id = ?, stage = ?, team = ? WHERE deal_id = ?", [spoilt, three, four, deal]
        )
        store.execute("INSERT INTO reps VALUES (?, ?)", [f"rep {k}", three])
    for level in ("team", "rep"):  # names of nodes, and of the deals behind the bars
        nodes = store.execute("SELECT DISTINCT node FROM forecasts WHERE level = ?", [level]).fetchall()
        for k, (node,) in enumerate(nodes):
            named = {"level": level, "node": node, "text": PAYLOADS[k]}
            for table in ("forecasts", "calls", "bridges"):
                store.execute(f"UPDATE {table} SET node = :text WHERE level = :level AND node = :node", named)
            if level == "team":
                store.execute("UPDATE forecasts SET team = :text WHERE team = :node", named)


def test_hostile_texts_show_as_text(browser: Browser, hostile: tuple[str, str]) -> None:
    """All 200 stand on the first page of the list, and the deals' own pages open by their hostile ids."""
    root, key = hostile
    context, seen = opened(browser, root)
    seen.log_in(key)
    seen.go("/deals")
    page = seen.page
    shown = page.locator("table").inner_text()
    told = {text for text in PAYLOADS if " ".join(text.split()) in " ".join(shown.split())}
    assert len(PAYLOADS) == 200
    assert told == set(PAYLOADS)
    assert page.inner_text(".who span") == "<img src=x onerror=alert(1)>"
    assert (
        page.locator(
            "main :is(script, iframe, object, embed, style, base, meta, [onerror], [onload], [hx-get])"
        ).count()
        == 0
    )
    seen.go("/forecast?open=*")
    page.wait_for_selector("figure[data-state=drawn]")
    assert PAYLOADS[0] in page.locator("#rollup tbody th").nth(1).inner_text()
    seen.go("/forecast/moves?part=score_drift")
    told = page.locator("tbody th a").first.inner_text()
    assert told.strip() in {" ".join(text.split()) for text in PAYLOADS}
    assert page.locator("main :is(iframe, object, embed, style, base, meta, [onerror], [onload])").count() == 0
    seen.go("/deals")
    links = [link.get_attribute("href") for link in page.locator("tbody th a").all()[:6]]
    for link in links:
        seen.go(str(link))
        assert page.locator("h1").inner_text().strip() in {" ".join(text.split()) for text in PAYLOADS}, link
        page.wait_for_timeout(100)
    seen.check()
    context.close()
