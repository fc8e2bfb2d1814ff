"""What a shop is, seen from outside the collection: compared before and after a run that must change nothing."""

from __future__ import annotations

import http.client
import subprocess
import threading
from pathlib import Path
from urllib.parse import urlsplit

from ecommus_lab.config import SERVICES
from ecommus_lab.running import RunningShop

LEDGERS = ("_ecommus_core_migrations", "_ecommus_plugin_migrations")


def version(shop: RunningShop) -> str:
    """The tag that the root of the shop is at."""
    return subprocess.run(["git", "tag", "--points-at", "HEAD"], cwd=shop.root, capture_output=True, text=True, check=True).stdout.strip()


def serving(shop: RunningShop) -> dict[str, set[str]]:
    """Per process name the real directories that its processes run in, by the kernel."""
    found: dict[str, set[str]] = {}
    for process in shop.processes():
        if process["pid"]:
            found.setdefault(process["name"], set()).add(str(Path(f"/proc/{process['pid']}/cwd").resolve()))
    return found


def identity(shop: RunningShop) -> dict[str, object]:
    """Everything that must not change when nothing is to be changed."""
    return {
        "version": version(shop),
        "root": str(shop.root.resolve()),
        "pids": sorted((p["name"], p["pid"]) for p in shop.processes()),
        "ledgers": ledgers(shop),
        "env": (shop.root / ".env").read_bytes(),
        "databases": databases(shop),
        "status": subprocess.run(["git", "status", "--porcelain"], cwd=shop.root, capture_output=True, text=True, check=True).stdout,
    }


def ledgers(shop: RunningShop) -> list[list[tuple]]:
    return [shop.query(f'SELECT * FROM "{table}" ORDER BY 1') for table in LEDGERS]


def databases(shop: RunningShop) -> list[str]:
    """Names of all databases that start like the shop's own."""
    query = "SELECT datname FROM pg_database WHERE left(datname, 6) = left(current_database(), 6) ORDER BY 1"
    return [name for (name,) in shop.query(query)]


def columns(shop: RunningShop) -> list[tuple]:
    """The schema as far as tables and columns go."""
    return shop.query(
        "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2"
    )


class Visitors:
    """Twenty requests a second over the four services, each by a new connection; a context manager."""

    def __init__(self, shop: RunningShop) -> None:
        self.asked = 0
        self.failures: list[str] = []
        self._shop = shop
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._visit, args=[service], daemon=True) for service in SERVICES]

    def __enter__(self) -> Visitors:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(20)

    def _visit(self, service: str) -> None:
        path = urlsplit(self._shop.shop.health_url(service)).path
        while not self._ended.wait(0.2):
            self.asked += 1
            try:
                answer = self._shop.get(service, path)
                if answer.status != 200:
                    self.failures.append(f"{service}: {answer.status}")
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(f"{service}: {type(error).__name__}: {error}")
