"""Laying out one shop as its operator once did by hand, and taking it away again."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from . import commands, trees
from .accounts import Account, give
from .config import SERVICES, WORKERS, LabConfig, Process, Shop
from .pm2 import Pm2
from .tools import environment

# What an owner may well put into a password; all of it must survive URLs, shells and .env files.
SPECIAL = "p@ss:w/o?r#d %41&+=$'\"\\`!"

# Seconds of patience per process; see the reload rules in the documentation of the collection.
LISTEN_TIMEOUT_MS = 20_000
KILL_TIMEOUT_MS = {WORKERS: 15_000}
DEFAULT_KILL_TIMEOUT_MS = 8_000

SCRIPTS = {
    "api": ("apps/api", "dist/server.js"),
    "admin": ("apps/admin", "server.mjs"),
    "super-admin": ("apps/super-admin", "server.mjs"),
    "storefront": ("apps/storefront-astro", "server.mjs"),
    WORKERS: ("apps/api", "dist/workers.js"),
}


@dataclass(frozen=True)
class ShopSecrets:
    """What only this shop knows; made once per lab, so that a reset gives the same shop again."""

    database_password: str
    dba_password: str
    npm_token: str
    jwt_secret: str
    data_key: str
    checkout_session_secret: str
    admin_password: str

    @classmethod
    def generate(cls, shop: Shop) -> ShopSecrets:
        word = secrets.token_urlsafe
        special = SPECIAL if shop.database.special_password else ""
        return cls(special + word(12), word(18), f"ecn_{word(24)}", word(48), word(32), word(48), word(12))

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


def database_url(config: LabConfig, role: str, password: str, database: str) -> str:
    """A connection URL with everything percent-encoded that needs it."""
    words = (quote(word, safe="") for word in (role, password, database))
    return "postgresql://{}:{}@127.0.0.1:{port}/{}".format(*words, port=config.postgres_port)


class Installer:
    """Puts a shop's files in place and starts and stops its processes."""

    def __init__(self, config: LabConfig, shop: Shop, shop_secrets: ShopSecrets, licence: str, owner: Account | None = None) -> None:
        self.config = config
        self.shop = shop
        self.secrets = shop_secrets
        self.licence = licence
        self.owner = owner
        self.pm2 = Pm2(config, shop, owner)

    @property
    def database_url(self) -> str:
        database = self.shop.database
        return database_url(self.config, database.role, self.secrets.database_password, database.name)

    def lay_out(self, tree: Path, version: str, remote: Path) -> None:
        """Copies the built tree to where the shop has it, with the site's own files."""
        release = self._releases(tree, version, remote) if self.shop.site == "releases" else self.shop.root
        if self.shop.site != "releases":
            trees.copy(tree, release, link=self.owner is None)
            commands.git("remote", "set-url", "origin", str(remote), cwd=release)
        self._site_files()
        if self.shop.site == "releases":
            for original in sorted(self.shop.shared.iterdir()):
                (release / original.name).symlink_to(f"../../shared/{original.name}")
        self.shop.snapshot_dir.mkdir(parents=True, mode=0o700)
        give(self.shop.directory, self.owner)

    def migrate(self) -> None:
        """Runs the release's own migration runners, as the procedure does."""
        node = [str(self.config.bin / "node"), "--experimental-strip-types", "--disable-warning=ExperimentalWarning"]
        for script in ("packages/db/src/migrate.ts", "apps/api/src/cli/run-plugin-migrations.ts"):
            commands.run([*node, script], self.shop.root, environment(self.config), account=self.owner)

    def start(self) -> None:
        self.pm2.start(self.shop.root / "ecosystem.config.cjs")

    def remove(self, aside: Path | None = None) -> None:
        """Ends the shop's processes and removes its files, or moves them *aside* to a path that does not exist yet."""
        self.pm2.kill()
        if aside is None:
            shutil.rmtree(self.shop.directory, ignore_errors=True)
        else:
            aside.parent.mkdir(parents=True, exist_ok=True)
            self.shop.directory.rename(aside)

    def _releases(self, tree: Path, version: str, remote: Path) -> Path:
        """The releases layout as the collection has it: mirror, release directories, shared files, two links."""
        base = self.shop.base
        (base / "shared").mkdir(parents=True)
        commands.git("clone", "--quiet", "--mirror", str(remote), str(base / "repo.git"), cwd=base)
        commit = commands.git("rev-parse", "HEAD", cwd=tree)
        release = base / "releases" / f"{version}-{commit[:8]}"
        trees.copy(tree, release, link=self.owner is None)
        commands.git("remote", "set-url", "origin", str(remote), cwd=release)
        (base / "current").symlink_to(f"releases/{release.name}")
        self.shop.root.symlink_to(f"{base.name}/current")
        return release

    def _site_files(self) -> None:
        shared = self.shop.shared
        for name, mode in (("uploads", 0o755), ("keys", 0o700)):
            (shared / name).mkdir(mode=mode)
        (shared / "uploads/logo.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>\n')
        _write_private(shared / "keys/data.pem", secrets.token_hex(64) + "\n")
        _write_private(shared / ".env", self._env_text())
        (shared / "ecosystem.config.cjs").write_text(self._ecosystem())

    def _env_text(self) -> str:
        shop = self.shop
        values = {
            "DATABASE_URL": self.database_url,
            "JWT_SECRET": self.secrets.jwt_secret,
            "JWT_EXPIRY": "15m",
            "JWT_REFRESH_EXPIRY": "30d",
            "ECOMMUS_LICENSE_JWT": self.licence,
            "ECOMMUS_DATA_KEY": self.secrets.data_key,
            "NPM_REGISTRY_TOKEN": self.secrets.npm_token,
            "STORAGE_LOCAL_DIR": f"{shop.root}/uploads",
            "FRONTEND_URL": f"https://{shop.hosts['storefront']}",
            "ADMIN_URL": f"https://{shop.hosts['admin']}",
            "API_URL": f"http://127.0.0.1:{shop.ports['api']}",
            "ECOMMUS_WORKERS": "false",
        }
        return "".join(f"{name}={value}\n" for name, value in values.items())

    def _ecosystem(self) -> str:
        apps = [self._app(service, self.shop.processes[service]) for service in (*SERVICES, WORKERS)]
        return f"module.exports = {json.dumps({'apps': apps}, indent=2)}\n"

    def _app(self, service: str, process: Process) -> dict[str, Any]:
        directory, script = SCRIPTS[service]
        cwd = self.shop.root / directory
        port = {} if service == WORKERS else {"PORT": str(self.shop.ports[service]), "HOST": "127.0.0.1"}
        return {
            "name": process.name,
            # Through the root, which may be a link: a reload then runs what the link leads to.
            "cwd": str(cwd),
            "script": str(cwd / script),
            "exec_mode": process.mode,
            "instances": process.instances,
            "wait_ready": True,
            "listen_timeout": LISTEN_TIMEOUT_MS,
            "kill_timeout": KILL_TIMEOUT_MS.get(service, DEFAULT_KILL_TIMEOUT_MS),
            "merge_logs": True,
            "env": {"NODE_ENV": "production", **port},
        }


def _write_private(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(text)
