"""Logging in with a key: who may, for how long, and what no other site can send."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from starlette.testclient import TestClient

from serving.auth import keys_file, revoke_key, rotate_key
from serving.pages.login import local_path
from serving.pages.sessions import TRIES, WITHIN
from serving.principal import Rights, Scope
from tests.paged import HTML, Visitor, form_token, key_for, visitor
from tests.stored import DAY, Office

HOUR = DAY // 24


def utc(instant: int) -> datetime:
    return datetime.fromtimestamp(instant / 1e6, UTC)


def test_a_stranger_is_sent_to_the_form_and_back(stranger: Visitor, key: str) -> None:
    sent = stranger.get("/deals?view=at_risk")
    assert (sent.status_code, sent.headers["location"]) == (303, "/login?next=%2Fdeals%3Fview%3Dat_risk")
    form = stranger.get(sent.headers["location"])
    assert 'value="/deals?view=at_risk"' in form.text
    back = stranger.log_in(key, "/deals?view=at_risk")
    assert (back.status_code, back.headers["location"]) == (303, "/deals?view=at_risk")
    assert stranger.get(back.headers["location"]).status_code == 200


def test_the_cookie_is_for_this_site_alone_and_no_script(stranger: Visitor, key: str) -> None:
    cookies = stranger.log_in(key).headers.get_list("set-cookie")
    (session,) = [cookie for cookie in cookies if cookie.startswith("__Host-forecastle=")]
    parts = {part.strip().lower() for part in session.split(";")[1:]}
    assert {"httponly", "secure", "samesite=strict", "path=/"} <= parts


def test_plain_http_can_be_allowed(office: Office, key: str) -> None:
    pages = office.config.serving.pages.model_copy(update={"secure_cookies": False})
    serving = office.config.serving.model_copy(update={"pages": pages})
    plain = Office(office.config.model_copy(update={"serving": serving}), office.world, office.export, office.now)
    with visitor(plain) as somebody:
        somebody.client = TestClient(somebody.client.app, base_url="http://testserver")
        cookies = somebody.log_in(key).headers.get_list("set-cookie")
        assert any(cookie.startswith("forecastle=") and "secure" not in cookie.lower() for cookie in cookies)
        assert somebody.get("/deals").status_code == 200


@pytest.mark.parametrize("given", ["", "fc_00000000_" + "0" * 64, "nonsense", "\u00fc" * 30])
def test_a_wrong_key_opens_nothing(stranger: Visitor, given: str) -> None:
    answer = stranger.log_in(given)
    assert answer.status_code == 401
    assert "does not open the pages" in answer.text
    assert stranger.get("/deals").status_code == 303


def test_a_key_that_may_not_read_opens_nothing(stranger: Visitor, office: Office) -> None:
    scorer = key_for(office, "a CRM", Rights(frozenset({Scope.SCORE}), frozenset()))
    assert stranger.log_in(scorer).status_code == 401


def test_many_wrong_keys_must_wait(stranger: Visitor, office: Office, key: str) -> None:
    for _ in range(TRIES):
        assert stranger.log_in("wrong").status_code == 401
    answer = stranger.log_in(key)
    assert answer.status_code == 429
    assert 0 < int(answer.headers["retry-after"]) <= WITHIN // 1_000_000
    office.now += WITHIN
    assert stranger.log_in(key).status_code == 303
    office.now -= WITHIN


def test_logging_out_ends_the_session_and_not_only_the_cookie(manager: Visitor) -> None:
    kept = dict(manager.client.cookies)
    token = form_token(manager.get("/deals").text)
    assert manager.post("/logout", {"form_token": token}).headers["location"] == "/login"
    for name, value in kept.items():
        manager.client.cookies.set(name, value, domain="testserver.local")
    assert manager.get("/deals").status_code == 303


def test_a_session_ends_with_its_hours_and_when_nobody_comes(manager: Visitor, office: Office, key: str) -> None:
    began = office.now
    try:
        for step in range(1, 12):
            office.now = began + step * HOUR
            assert manager.get("/deals").status_code == 200, step
            manager.client.app.state.api.store().writer.submit(lambda _: None).result()  # what was seen is written
        office.now = began + 12 * HOUR
        assert manager.get("/deals").status_code == 303
        assert manager.log_in(key).status_code == 303
        office.now += 2 * HOUR
        assert manager.get("/deals").status_code == 303
    finally:
        office.now = began


def test_a_session_ends_with_its_key(stranger: Visitor, office: Office) -> None:
    path, now = keys_file(office.config), utc(office.now)
    mine = key_for(office, "for a while")
    assert stranger.log_in(mine).status_code == 303
    rotate_key(path, "for a while", now, timedelta(days=1))
    assert stranger.get("/deals").status_code == 200, "the old key works on for a day"
    began = office.now
    office.now += DAY // 24  # the hour keeps the session; the key's day is not over
    assert stranger.get("/deals").status_code == 200
    office.now = began
    revoke_key(path, mine.split("_")[1], now)
    assert stranger.get("/deals").status_code == 303


def test_a_form_of_another_site_is_refused(manager: Visitor) -> None:
    assert manager.post("/logout", {"form_token": "0" * 64}).status_code == 403
    assert manager.post("/logout", {}).status_code == 403
    token = form_token(manager.get("/deals").text)
    assert manager.post("/logout", {"form_token": token}, **{"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert manager.get("/deals").status_code == 200


def test_a_login_of_another_site_is_refused(stranger: Visitor, key: str) -> None:
    answer = stranger.post("/login", {"form_token": "0" * 64, "key": key})
    assert answer.status_code == 403
    assert "cookie" in answer.text


def test_the_api_takes_no_cookie(manager: Visitor) -> None:
    assert manager.client.get("/v1/deals").status_code == 401
    assert manager.client.get("/v1/status").status_code == 401


def test_the_store_holds_no_token(manager: Visitor) -> None:
    token = manager.client.cookies["__Host-forecastle"]
    api = manager.client.app.state.api
    with api.store().engine.begin() as connection:
        rows = connection.exec_driver_sql("SELECT * FROM sessions").all()
    assert rows
    assert token not in str(rows)


@pytest.mark.parametrize(
    ("asked", "to"),
    [
        ("/deals?view=at_risk", "/deals?view=at_risk"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("/a\nb", "/"),
        ("", "/"),
    ],
)
def test_a_login_leads_to_this_site_alone(asked: str, to: str) -> None:
    assert local_path(asked) == to


def test_a_form_must_be_one_and_not_too_large(manager: Visitor) -> None:
    sent = manager.client.post("/logout", json={"form_token": "x"}, headers=HTML)
    assert sent.status_code == 403
    assert manager.post("/logout", {"form_token": "x" * 70_000}).status_code == 413
