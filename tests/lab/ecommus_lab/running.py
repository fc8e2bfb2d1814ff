"""A running shop as a test sees it: asked from outside, looked into from inside, and broken on purpose."""

from __future__ import annotations

import http.client
import threading
import time
from typing import Any
from urllib.parse import urlsplit

from .config import SERVICES, WORKERS, Shop
from .front import Answer, Front
from .registry import Registry
from .shops import Installer


class RunningShop:
    """Handle on one shop of a running lab."""

    def __init__(self, shop: Shop, installer: Installer, front: Front, registry: Registry) -> None:
        self.shop = shop
        self.name = shop.name
        self.root = shop.root
        self.pm2 = installer.pm2
        self.secrets = installer.secrets
        self.database_url = installer.database_url
        self.registry = registry
        self.front = front

    # --- from outside ----------------------------------------------------------------------------

    def get(self, service: str, path: str, **options: Any) -> Answer:
        """``GET`` from a service by its public name."""
        return self.front.get(self.shop.hosts[service], path, **options)

    def health(self) -> dict[str, str]:
        """What is wrong with each service that is not healthy; empty when all are."""
        problems = {}
        for service in SERVICES:
            try:
                answer = self.get(service, urlsplit(self.shop.health_url(service)).path)
                well = answer.status == 200 and (service == "storefront" or answer.json().get("ok") is True)
                if not well:
                    problems[service] = f"{answer.status} {answer.text[:200]}"
            except (OSError, ValueError, http.client.HTTPException) as error:
                problems[service] = f"{type(error).__name__}: {error}"
        return problems

    def wait_healthy(self, seconds: float) -> list[str]:
        """Waits until all services are healthy and the workers run; what is still wrong then."""
        deadline = time.monotonic() + seconds
        while True:
            problems = [f"{service}: {problem}" for service, problem in self.health().items()]
            if not self.workers_running():
                problems.append("the workers do not run")
            if not problems or time.monotonic() > deadline:
                return problems
            time.sleep(0.25)

    def place_order(self, **options: Any) -> Answer:
        """Orders one piece of something, as the shop's own page does."""
        payload = {"email": "lab@example.com", "name": "Lab", "lines": [{"sku": self.sku(), "quantity": 1}]}
        return self.front.request("POST", self.shop.domain, "/api/storefront/orders", payload, **options)

    # --- from inside -----------------------------------------------------------------------------

    def processes(self) -> list[dict[str, Any]]:
        return self.pm2.processes()

    def workers_running(self) -> bool:
        name = self.shop.processes[WORKERS].name
        return any(p["name"] == name and p["pm2_env"]["status"] == "online" for p in self.processes())

    def connect(self) -> Any:
        """A psycopg connection to the live database as its owner, in autocommit mode."""
        import psycopg

        return psycopg.connect(self.database_url, autocommit=True, connect_timeout=10)

    def query(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with self.connect() as connection:
            rows: list[tuple[Any, ...]] = connection.execute(statement, values or None).fetchall()
            return rows

    def orders(self) -> int:
        return int(self.query("SELECT count(*) FROM orders")[0][0])

    def sku(self) -> str:
        """Something that the tenant of the shop's domain sells."""
        statement = """
            SELECT sku FROM products JOIN settings USING (tenant_id)
            WHERE key = 'domain' AND value #>> '{}' = %s ORDER BY products.id LIMIT 1"""
        return str(self.query(statement, self.shop.domain)[0][0])

    # --- what the vendor and bad luck do ---------------------------------------------------------

    def revoke_token(self) -> None:
        self.registry.revoke_token(self.secrets.npm_token)

    def expire_licence(self) -> None:
        self.registry.expire_licence(self.name)

    def unlicense(self, package: str) -> None:
        self.registry.unlicense(self.name, package)


class WriteLoad:
    """Customers who place orders at a steady rate; a context manager.

    ``accepted`` holds the ids that the shop confirmed, ``refused`` what became of the others.
    """

    def __init__(self, shop: RunningShop, per_second: float = 5, timeout: float = 10) -> None:
        self.accepted: list[int] = []
        self.refused: list[str] = []
        self._shop = shop
        self._pause = 1 / per_second
        self._timeout = timeout
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"orders-{shop.name}", daemon=True)

    def __enter__(self) -> WriteLoad:
        self._sku = self._shop.sku()  # asked now: later the database may be away
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(self._timeout + 5)

    def _run(self) -> None:
        payload = {"email": "load@example.com", "lines": [{"sku": self._sku, "quantity": 1}]}
        host = self._shop.shop.domain
        while not self._ended.wait(self._pause):
            try:
                answer = self._shop.front.request("POST", host, "/api/storefront/orders", payload, timeout=self._timeout)
                if answer.status == 201:
                    self.accepted.append(int(answer.json()["id"]))
                else:
                    self.refused.append(f"{answer.status} {answer.text[:200]}")
            except (OSError, ValueError, http.client.HTTPException) as error:
                self.refused.append(f"{type(error).__name__}: {error}")
