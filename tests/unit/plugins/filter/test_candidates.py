"""The filter that says what to ask a release that is not live yet."""

from __future__ import annotations

from ansible_collections.mdlabs.ecommus.plugins.filter.candidates import candidates

SERVICES = [
    {
        "name": "api",
        "workspace": "@x/api",
        "process": "shop-api",
        "port": 4000,
        "health_url": "https://api.shop.test/health?deep=1",
        "expect_json": {"ok": True},
    },
    {"name": "storefront", "workspace": "@x/sf", "process": "sf", "port": 3000, "health_url": "https://shop.test", "expect_text": "<html"},
]


def test_each_is_asked_as_its_proxy_would() -> None:
    api, storefront = candidates(SERVICES, "https://shop.test/api/storefront/categories")
    assert (api["process"], api["port"]) == ("shop-api", 4000)
    health, categories = api["routes"]
    assert (health["path"], health["expect_json"]) == ("/health?deep=1", {"ok": True})
    assert (health["headers"]["Host"], health["headers"]["X-Forwarded-Proto"]) == ("api.shop.test", "https")
    assert (categories["path"], categories["headers"]["Host"]) == ("/api/storefront/categories", "shop.test")
    assert [(route["path"], route["expect_text"]) for route in storefront["routes"]] == [("/", "<html")]


def test_without_a_storefront_route() -> None:
    assert [len(service["routes"]) for service in candidates(SERVICES)] == [1, 1]
