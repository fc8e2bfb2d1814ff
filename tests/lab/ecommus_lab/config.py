"""Paths, ports and shops of the lab: the one place for all of that."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parents[3]
LAB_SOURCE = Path(__file__).resolve().parents[1]
DEFAULT_PORT = 17300
DEFAULT_VERSION = "v1.3.2"
DEFAULT_ORDERS = 100_000
FLAVOURS = ("full", "light")
SERVICES = ("api", "admin", "super-admin", "storefront")
WORKERS = "workers"

# Linux: sizeof(sockaddr_un.sun_path), with the terminating zero.
MAX_SOCKET_PATH = 108
# The longest socket names below .lab/run: pm2's, and that of an SSH connection while it is being made.
SOCKETS = ("shops/xxxxxx/pm2/rpc.sock", f"ssh/cp/{'x' * 10}.{'x' * 16}")


class LabError(Exception):
    """Something the user can act on; shown as one line, without a traceback."""


@dataclass(frozen=True)
class LabConfig:
    """Where a lab lives and which ports it uses."""

    home: Path
    port: int = DEFAULT_PORT

    @classmethod
    def from_environment(cls) -> LabConfig:
        """Reads ``ECOMMUS_LAB_HOME`` and ``ECOMMUS_LAB_PORT``."""
        home = Path(os.environ.get("ECOMMUS_LAB_HOME") or REPO / ".lab").expanduser().absolute()
        text = os.environ.get("ECOMMUS_LAB_PORT") or str(DEFAULT_PORT)
        if not text.isdigit() or not 1024 <= int(text) <= 65000:
            raise LabError(f"ECOMMUS_LAB_PORT is {text!r}: give a number from 1024 to 65000")
        return cls(home, int(text))

    @property
    def tools(self) -> Path:
        return self.home / "tools"

    @property
    def bin(self) -> Path:
        return self.tools / "bin"

    @property
    def cache(self) -> Path:
        return self.home / "cache"

    @property
    def run(self) -> Path:
        return self.home / "run"

    @property
    def state_file(self) -> Path:
        return self.run / "lab.json"

    @property
    def proxy_port(self) -> int:
        return self.port

    @property
    def postgres_port(self) -> int:
        return self.port + 1

    @property
    def registry_port(self) -> int:
        return self.port + 2

    @property
    def sshd_port(self) -> int:
        return self.port + 3

    @property
    def registry_url(self) -> str:
        return f"http://127.0.0.1:{self.registry_port}/"

    def shop_port(self, index: int, service: str) -> int:
        """Port of a service: ten per shop from +20, in the order of ``SERVICES``."""
        return self.port + 20 + 10 * index + SERVICES.index(service)


@dataclass(frozen=True)
class Process:
    """One entry of a shop's pm2 ecosystem file."""

    name: str
    mode: str
    instances: int = 1


@dataclass(frozen=True)
class Database:
    """A shop's database, its owner role and, where the owner may not create databases, who may."""

    name: str
    role: str
    createdb: bool = True
    dba: str | None = None
    special_password: bool = False


@dataclass(frozen=True)
class Shop:
    """What ``shops.yml`` says about one shop, with what follows from it."""

    name: str
    index: int
    domain: str
    directory: Path
    root: Path
    site: str
    layout: str
    processes: dict[str, Process]
    database: Database
    ports: dict[str, int] = field(default_factory=dict)

    @property
    def pm2_home(self) -> Path:
        return self.directory / "pm2"

    @property
    def snapshot_dir(self) -> Path:
        return self.directory / "var/backups/ecommus"

    @property
    def base(self) -> Path:
        """Where the releases layout keeps releases, shared files and the repository."""
        return self.root.with_name(self.root.name + ".d")

    @property
    def shared(self) -> Path:
        """Where the site's own files are: the root itself in a plain checkout."""
        return self.base / "shared" if self.site == "releases" else self.root

    @property
    def hosts(self) -> dict[str, str]:
        return {
            "api": f"api.{self.domain}",
            "admin": f"admin.{self.domain}",
            "super-admin": f"superadmin.{self.domain}",
            "storefront": self.domain,
        }

    def health_url(self, service: str) -> str:
        """As the documented procedure checks it, on the standard port (see ``ecommus_resolve``)."""
        path = {"api": "/health", "storefront": "/"}.get(service, "/api/health")
        return f"https://{self.hosts[service]}{path}"


def load_shops(config: LabConfig, names: list[str] | None = None) -> list[Shop]:
    """Reads ``shops.yml``; ``names`` picks some of the shops.

    :raises LabError: an unknown shop, or a path that pm2 or sockets do not take.
    """
    import yaml

    table: dict[str, Any] = yaml.safe_load((LAB_SOURCE / "shops.yml").read_text())["shops"]
    unknown = sorted(set(names or ()) - set(table))
    if unknown:
        raise LabError(f"no such shop: {', '.join(unknown)}. There are: {', '.join(table)}")
    shops = [_shop(config, index, name, entry) for index, (name, entry) in enumerate(table.items())]
    if " " in str(config.home):
        raise LabError(f"the path {config.home} has a space in it, which pm2 does not take: set ECOMMUS_LAB_HOME to another one")
    excess = max(len(os.fsencode(config.run / name)) for name in SOCKETS) - MAX_SOCKET_PATH + 1
    if excess > 0:
        raise LabError(f"the path {config.home} is {excess} bytes too long for sockets below it: set ECOMMUS_LAB_HOME to a shorter one")
    return [shop for shop in shops if not names or shop.name in names]


def _shop(config: LabConfig, index: int, name: str, entry: dict[str, Any]) -> Shop:
    directory = config.run / "shops" / name
    return Shop(
        name=name,
        index=index,
        domain=entry["domain"],
        directory=directory,
        root=directory / entry["root"],
        site=entry["site"],
        layout=entry["layout"],
        processes={service: Process(**process) for service, process in entry["processes"].items()},
        database=Database(**entry["database"]),
        ports={service: config.shop_port(index, service) for service in SERVICES},
    )


def user_name() -> str:
    """Name of the user this process runs as, or its number if it has none."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
