"""Probes against real servers: in parallel, in time, with one login."""

from __future__ import annotations

import dataclasses
import threading
import time

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _health
from ansible_collections.mdlabs.ecommus.plugins.module_utils._expect import Expectation
from ansible_collections.mdlabs.ecommus.plugins.module_utils._health import Bearer, Patience, Probe, check, failure
from http_lab import raw_server, serve, unused_port

PASSWORD = "correct horse battery"
TOKEN = "eyJhbGciOi.secret.token"
QUICK = Patience(interval=0.05, deadline=5)


def only(probe: Probe, patience: Patience = QUICK):
    (result,) = check([probe], patience)
    return result


class Shop:
    """An API whose products need a token and a tenant. ``login_statuses`` are answered first."""

    def __init__(self, *login_statuses: int) -> None:
        self.login_statuses = list(login_statuses)
        self.logins: list[object] = []
        self.lock = threading.Lock()

    def __call__(self, request):
        if request.path == "/login":
            with self.lock:
                self.logins.append(request)
                status = self.login_statuses.pop(0) if self.login_statuses else 200
            if status != 200:
                return status, {"error": "no", "echo": request.body}
            if request.body != {"email": "ann@shop.example", "password": PASSWORD}:
                return 401, {"error": "bad credentials", "echo": request.body}
            return {"accessToken": TOKEN, "expiresIn": 900, "data": {"token": TOKEN}}
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return 401, {"error": "unauthorized", "echo": request.headers.get("Authorization")}
        if request.headers.get("X-Tenant-Id") != "t1":
            return 403, {"error": "tenant", "echo": request.headers.get("Authorization")}
        return {"items": []}


def products(address: str, name: str = "products", **account) -> Probe:
    account = {"login_url": f"http://{address}/login", "email": "ann@shop.example", "password": PASSWORD, "tenant_id": "t1", **account}
    return Probe(name, f"http://{address}/products", bearer=Bearer(**account), secrets=[account["password"], account.get("token", "")])


def test_good_answer():
    with serve(lambda request: {"ok": True}) as server:
        result = only(Probe("api", f"http://{server.address}/health", Expectation(json={"ok": True})))
    assert (result.ok, result.status, result.error, result.attempts) == (True, 200, "", 1)
    assert result.latency_ms > 0


def test_request_is_as_the_probe_says():
    with serve(lambda request: "ok") as server:
        only(Probe("p", f"http://{server.address}/x", method="POST", headers={"X-A": "b"}, body={"c": [1]}))
    (asked,) = server.asked
    assert (asked.method, asked.path, asked.headers["X-A"], asked.body) == ("POST", "/x", "b", {"c": [1]})


def test_probes_run_at_the_same_time():
    with serve(lambda request: time.sleep(0.4) or "ok") as server:
        start = time.monotonic()
        results = check([Probe(f"p{i}", f"http://{server.address}/{i}") for i in range(10)], QUICK)
    assert all(result.ok for result in results)
    assert [result.name for result in results] == [f"p{i}" for i in range(10)]
    assert time.monotonic() - start < 1.5


def test_dripping_server_does_not_outlive_the_deadline_of_the_call():
    def drip(connection):
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n")
        while True:
            connection.sendall(b"x")
            time.sleep(0.05)

    with raw_server(drip) as slow, serve(lambda request: "ok") as server:
        start = time.monotonic()
        probes = [Probe("slow", f"http://{slow}/", timeout=30), Probe("quick", f"http://{server.address}/")]
        slow_result, quick_result = check(probes, Patience(retries=99, interval=0.1, deadline=0.8))
    assert time.monotonic() - start < 1.2
    assert quick_result.ok
    assert "timeout: connected to" in slow_result.error
    assert "given up at the deadline of 0.8 s, after 1 attempts" in slow_result.error


def test_timeout_of_a_probe_binds_each_attempt():
    with raw_server(lambda connection: time.sleep(9)) as slow:
        start = time.monotonic()
        result = only(Probe("slow", f"http://{slow}/", timeout=0.3), Patience(retries=1, interval=0.1, deadline=30))
    assert 0.6 < time.monotonic() - start < 1.2
    assert result.attempts == 2
    assert "within 0.3 s" in result.error


def test_service_that_comes_up_late_is_waited_for():
    port = unused_port()
    results = []
    thread = threading.Thread(
        target=lambda: results.append(only(Probe("late", f"http://127.0.0.1:{port}/"), Patience(retries=50, interval=0.1, deadline=10)))
    )
    thread.start()
    time.sleep(0.5)
    with serve(lambda request: "ok", port=port):
        thread.join(10)
    assert results[0].ok
    assert results[0].attempts > 2


def test_retries_are_counted():
    result = only(Probe("gone", f"http://127.0.0.1:{unused_port()}/"), Patience(retries=2, interval=0.01, deadline=10))
    assert (result.ok, result.attempts, result.status) == (False, 3, 0)
    assert "connection refused" in result.error


def test_consecutive_good_answers_start_again_after_a_bad_one():
    statuses = iter([200, 200, 500, 200, 200, 200, 500])
    with serve(lambda request: (next(statuses), "x")) as server:
        result = only(Probe("flaky", f"http://{server.address}/"), Patience(retries=1, consecutive=3, interval=0.01))
    assert (result.ok, result.attempts) == (True, 6)


def test_consecutive_good_answers_that_do_not_fit_into_the_deadline():
    with serve(lambda request: "ok") as server:
        result = only(Probe("p", f"http://{server.address}/"), Patience(consecutive=100, interval=0.1, deadline=0.5))
    assert not result.ok
    assert "of 100 good answers in a row within 0.5 s" in result.error


def test_every_attempt_is_a_new_connection():
    with serve(lambda request: "ok") as server:
        only(Probe("p", f"http://{server.address}/"), Patience(consecutive=3, interval=0.01))
    assert len({request.connection for request in server.asked}) == 3


def test_probe_that_cannot_be_asked_is_not_retried():
    result = only(Probe("p", "nowhere"), Patience(retries=50, interval=1, deadline=30))
    assert "not an http:// or https:// URL" in result.error


def test_one_login_serves_all_probes_and_attempts():
    shop = Shop()
    with serve(shop) as server:
        results = check([products(server.address, f"p{i}") for i in range(6)], Patience(consecutive=3, interval=0.01))
    assert [result.error for result in results] == [""] * 6
    assert len(shop.logins) == 1
    assert shop.logins[0].headers["X-Tenant-Id"] == "t1"


def test_given_token_needs_no_login():
    shop = Shop()
    with serve(shop) as server:
        assert only(products(server.address, token=TOKEN)).ok
    assert shop.logins == []


def test_token_key_may_be_a_path():
    with serve(Shop()) as server:
        assert only(products(server.address, token_key="data.token")).ok
        for key in ("data.other", "expiresIn", "accessToken.deeper", "data"):
            result = only(products(server.address, token_key=key))
            assert (result.error, result.remedy) == (f"login: the answer has no {key}", "correct token_key")


def test_login_goes_where_the_account_says(authority):
    with serve(Shop(), authority.issue("api.shop.example")) as server:
        account = {"login_url": "https://api.shop.example/login", "email": "ann@shop.example", "password": PASSWORD, "tenant_id": "t1"}
        way = {"resolve": server.address, "ca_path": str(authority.path)}
        probe = Probe("p", "https://api.shop.example/products", bearer=Bearer(**account, **way), **way)
        assert only(probe).error == ""
    assert [(request.method, request.path) for request in server.asked] == [("POST", "/login"), ("GET", "/products")]


@pytest.mark.parametrize(
    ("status", "words", "remedy"),
    [(401, "login as ann@shop.example: status 401", "correct the account"), (429, "too many logins", "wait a minute")],
)
def test_refused_login_is_final_and_asked_once(status, words, remedy):
    shop = Shop(status, status, status)
    with serve(shop) as server:
        results = check([products(server.address, f"p{i}") for i in range(4)], Patience(retries=9, interval=0.01, deadline=5))
    assert len(shop.logins) == 1
    assert all(words in result.error and remedy in result.remedy for result in results)


def test_login_at_an_api_that_is_not_up_yet_is_asked_again_after_pauses(monkeypatch):
    monkeypatch.setattr(_health, "LOGIN_PAUSE", 0.1)
    shop = Shop(502, 503, 500)  # 500: as long as it has not found its database again
    with serve(shop) as server:
        began = time.monotonic()
        result = only(products(server.address), Patience(retries=99, interval=0.01, deadline=5))
    assert result.ok
    assert len(shop.logins) == 4
    assert time.monotonic() - began > 0.1 + 0.2 + 0.4


def test_login_that_the_api_cannot_answer_is_no_fault_of_the_account():
    with serve(Shop(500)) as server:
        result = only(products(server.address), QUICK)
    assert result.error.startswith("login as ann@shop.example: status 500 instead of 200 or 201")
    assert result.remedy == "look at the API's log"


def test_login_is_never_asked_more_often_than_the_rate_limit_bears(monkeypatch):
    monkeypatch.setattr(_health, "LOGIN_PAUSE", 0.0)
    shop = Shop(*[503] * 50)
    with serve(shop) as server:
        results = check([products(server.address, f"p{i}") for i in range(4)], Patience(retries=50, interval=0.01, deadline=5))
    assert len(shop.logins) == 5
    assert all("was tried 5 times" in result.error for result in results)


def test_probes_that_wait_for_a_login_take_its_failure_for_theirs():
    shop = Shop(503, 503, 503, 503)

    def slow(request):
        time.sleep(0.3)
        return shop(request)

    with serve(slow) as server:
        results = check([products(server.address, f"p{i}") for i in range(4)], QUICK)
    assert all("login: status 503" in result.error for result in results)
    assert len(shop.logins) == 1


def test_login_that_hangs_counts_as_asked():
    shop = Shop()

    def hang(request):
        shop(request)
        time.sleep(0.5)
        return "late"

    with serve(hang) as server:
        probe = dataclasses.replace(products(server.address), timeout=0.1)
        result = only(probe, Patience(retries=30, interval=0.01, deadline=10))
    assert "was tried 5 times" in result.error
    assert len(shop.logins) == 5


def test_login_that_is_not_reached_does_not_count():
    port = unused_port()
    shop = Shop()
    results = []
    probe = products(f"127.0.0.1:{port}")
    thread = threading.Thread(target=lambda: results.append(only(probe, Patience(retries=99, interval=0.02, deadline=10))))
    thread.start()
    time.sleep(0.5)
    with serve(shop, port=port):
        thread.join(10)
    assert results[0].ok
    assert results[0].attempts > 6
    assert len(shop.logins) == 1


@pytest.mark.parametrize("account", [{"password": "wrong but secret"}, {"token": "stale-secret-token"}, {"tenant_id": "t2"}])
def test_no_secret_is_in_an_error_even_when_the_server_echoes_it(account):
    with serve(Shop()) as server:
        result = only(products(server.address, **account))
    assert not result.ok
    text = repr(result) + str(failure([result]))
    for secret in (PASSWORD, TOKEN, "wrong but secret", "stale-secret-token"):
        assert secret not in text
    assert "***" in text


def test_failure_names_each_probe_and_why():
    port = unused_port()
    with serve(lambda request: (503, "Bad gateway")) as server:
        results = check([Probe("api", f"http://{server.address}/health"), Probe("admin", f"http://127.0.0.1:{port}/")], QUICK)
    assert str(failure(results)) == (
        f'2 of 2 probes failed: api (http://{server.address}/health): status 503 instead of 200, body "Bad gateway"; '
        f"admin (http://127.0.0.1:{port}/): connection refused at 127.0.0.1:{port}. "
        "Remedy: look at the service's log; start the service, or correct the address it listens on"
    )
