"""The module as Ansible runs it: JSON in, JSON out."""

from __future__ import annotations

import time

from ansible_collections.mdlabs.ecommus.plugins.modules import health_check
from http_lab import Authority, raw_server, serve

SECRETS = ("geheim-password", "geheim-token", "geheim-header")


def test_all_services_in_one_call(call, authority: Authority):
    certificate = authority.issue("api.shop.example", "shop.example", days=5)
    with serve(lambda request: {"ok": True} if request.path == "/health" else "<html>", certificate) as server:
        common = {"resolve": server.address, "ca_path": str(authority.path)}
        result, _ = call(
            health_check,
            probes=[
                {"name": "api", "url": "https://api.shop.example/health", "expect_json": {"ok": True}, **common},
                {"name": "storefront", "url": "https://shop.example/", "expect_text": "<html", **common},
            ],
        )
    assert result["ok"] is True
    assert result["changed"] is False
    assert [(found["name"], found["ok"], found["status"]) for found in result["results"]] == [("api", True, 200), ("storefront", True, 200)]
    assert all(found["certificate_expires"].endswith("Z") and found["latency_ms"] > 0 for found in result["results"])
    assert any("the certificate of https://shop.example/ expires at 20" in str(warning) for warning in result["warnings"])


def test_failure_is_one_line_with_each_probe_and_a_remedy(call):
    with serve(lambda request: (503, {"ok": False})) as server:
        probes = [{"name": name, "url": f"http://{server.address}/{name}"} for name in ("api", "admin")]
        result, _ = call(health_check, probes=probes)
        tolerated, _ = call(health_check, probes=probes, fail=False)
    assert result["failed"] is True
    assert "\n" not in result["msg"]
    assert result["msg"].startswith(f"2 of 2 probes failed: api (http://{server.address}/api): status 503 instead of 200, body ")
    assert result["remedy"] in result["msg"]
    assert [found["ok"] for found in result["results"]] == [False, False]
    assert "failed" not in tolerated
    assert tolerated["ok"] is False


def test_no_secret_leaves_the_module(call):
    def app(request):
        return 401, {"echo": [request.headers, request.body]}

    with serve(app) as server:
        url = f"http://{server.address}/"
        account = {"login_url": url + "login", "email": "a@shop.example", "password": SECRETS[0]}
        probes = [
            {"name": "login", "url": url, "bearer": account},
            {"name": "token", "url": url, "bearer": {"token": SECRETS[1], "tenant_id": "t1"}},
            {"name": "header", "url": url, "secret_headers": {"Cookie": SECRETS[2]}},
        ]
        result, printed = call(health_check, probes=probes, _ansible_verbosity=4)
    assert result["failed"] is True
    assert server.asked[-1].headers
    assert {request.headers.get("Cookie") for request in server.asked} >= {SECRETS[2]}
    for secret in SECRETS:
        assert secret not in printed


def test_login_goes_where_the_probe_goes(call, authority: Authority):
    def app(request):
        return (
            {"accessToken": "geheim-token"}
            if request.path == "/login"
            else {"auth": request.headers["Authorization"] == "Bearer geheim-token"}
        )

    with serve(app, authority.issue("api.shop.example")) as server:
        bearer = {"login_url": "https://api.shop.example/login", "email": "a", "password": "geheim-password", "tenant_id": "t1"}
        probe = {"name": "p", "url": "https://api.shop.example/x", "expect_json": {"auth": True}, "bearer": bearer}
        result, printed = call(health_check, probes=[{**probe, "resolve": server.address, "ca_path": str(authority.path)}])
    assert result["ok"] is True
    assert [request.headers.get("X-Tenant-Id") for request in server.asked] == ["t1", "t1"]
    assert "geheim" not in printed


def test_half_an_account_is_refused(call):
    result, _ = call(health_check, probes=[{"name": "p", "url": "http://127.0.0.1/", "bearer": {"email": "a"}}])
    assert "bearer has neither a token nor login_url, email and password" in result["msg"]


def test_check_mode_reads_but_does_not_write(call):
    with serve(lambda request: "ok") as server:
        probes = [{"name": method, "method": method, "url": f"http://{server.address}/"} for method in ("GET", "POST")]
        result, _ = call(health_check, probes=probes, _ansible_check_mode=True)
    assert [request.method for request in server.asked] == ["GET"]
    assert result["ok"] is True
    assert result["skipped_probes"] == ["POST"]


def test_module_ends_in_time_whatever_the_server_does(call):
    with raw_server(lambda connection: time.sleep(30)) as address:
        start = time.monotonic()
        result, _ = call(health_check, probes=[{"name": "p", "url": f"http://{address}/", "timeout": 20}], deadline=0.5, retries=5)
    assert time.monotonic() - start < 5
    assert "timeout: connected to" in result["msg"]


def test_missing_requests_is_said_plainly(call, tmp_path, monkeypatch):
    (tmp_path / "requests.py").write_text("raise ImportError('no requests here')")
    monkeypatch.syspath_prepend(str(tmp_path))
    result, _ = call(health_check, probes=[])
    assert "Failed to import the required Python library (requests)" in result["msg"]
