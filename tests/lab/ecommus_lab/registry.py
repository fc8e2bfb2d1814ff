"""The vendor's private npm registry: verdaccio, with licences decided by a plugin of ours."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from . import processes
from .config import LAB_SOURCE, LabConfig, LabError
from .tools import environment

PLUGIN = LAB_SOURCE / "registry/verdaccio-ecommus-licence.js"
SCOPES = ("@ecommus-plugin", "@ecommus")
VENDOR = "vendor"


class Registry:
    """Runs verdaccio and plays the vendor: gives tokens, revokes them, lets licences end."""

    def __init__(self, config: LabConfig, vendor_token: str) -> None:
        self.config = config
        self.vendor_token = vendor_token
        self.directory = config.run / "registry"
        self.storage = self.directory / "storage"
        self.state_file = self.directory / "licences.json"
        self.log = self.directory / "verdaccio.log"
        self.pid_file = config.run / "pids/registry.json"

    def create(self) -> None:
        """Writes the configuration and an empty list of customers."""
        plugin = self.directory / "plugins/verdaccio-ecommus-licence"
        plugin.mkdir(parents=True)
        shutil.copy(PLUGIN, plugin / "index.js")
        (plugin / "package.json").write_text('{"name": "verdaccio-ecommus-licence", "version": "1.0.0"}')
        access = {"access": "$all", "publish": "$all", "unpublish": "$all"}  # the plugin decides
        settings = {
            "storage": str(self.storage),
            "plugins": str(plugin.parent),
            "auth": {"ecommus-licence": {"state": str(self.state_file)}},
            "packages": {f"{scope}/*": access for scope in SCOPES},
            "uplinks": {},
            "web": {"enable": False},
            "log": {"type": "stdout", "format": "json", "level": "http"},
            "max_body_size": "50mb",
        }
        # JSON is YAML.
        (self.directory / "config.yaml").write_text(json.dumps(settings, indent=2))
        self._write({"accounts": {VENDOR: {"vendor": True, "packages": []}}, "tokens": {}})
        self.give_token(VENDOR, self.vendor_token)

    def start(self) -> None:
        command = [str(self.config.bin / "verdaccio"), "--config", str(self.directory / "config.yaml")]
        command += ["--listen", f"127.0.0.1:{self.config.registry_port}"]
        env = environment(self.config, HOME=str(self.directory), NODE_ENV="production")
        processes.spawn(command, self.pid_file, self.log, env, cwd=self.directory)
        processes.wait_for_port("the registry", self.config.registry_port, self.pid_file, self.log)

    def stop(self) -> None:
        processes.stop(self.pid_file)

    # --- what the vendor does; all of it takes effect at once ------------------------------------

    def give_token(self, account: str, token: str) -> None:
        """Gives an account a token, or a revoked token its validity back."""
        state = self._read()
        state["tokens"][token] = {"account": account, "revoked": False}
        self._write(state)

    def revoke_token(self, token: str) -> None:
        state = self._read()
        state["tokens"][token]["revoked"] = True
        self._write(state)

    def license(self, account: str, packages: list[str], expires: dt.datetime | None = None) -> None:
        """Says which packages an account may read, and until when (``None``: for ever)."""
        state = self._read()
        text = expires.astimezone(dt.timezone.utc).isoformat() if expires else None
        state["accounts"][account] = {"packages": sorted(packages), "expires": text}
        self._write(state)

    def expire_licence(self, account: str) -> None:
        """Lets the account's licence end an hour ago."""
        state = self._read()
        past = dt.datetime.now(dt.timezone.utc) - dt.timedelta(hours=1)
        state["accounts"][account]["expires"] = past.isoformat(timespec="seconds")
        self._write(state)

    def unlicense(self, account: str, package: str) -> None:
        """Takes one package out of the account's licence."""
        state = self._read()
        state["accounts"][account]["packages"].remove(package)
        self._write(state)

    def state(self) -> dict[str, Any]:
        """The licences as the registry sees them; give it back with :meth:`restore`."""
        return self._read()

    def restore(self, state: dict[str, Any]) -> None:
        self._write(state)

    # --- packages --------------------------------------------------------------------------------

    def withdraw(self, name: str, version: str) -> None:
        """Takes a version away, as the vendor does with old ones."""
        self._npm(["unpublish", "--force", f"{name}@{version}"], self.directory)

    def _npm(self, arguments: list[str], directory: Path) -> None:
        userconfig = self.directory / "vendor.npmrc"
        if not userconfig.exists():
            lines = [f"{scope}:registry={self.config.registry_url}" for scope in SCOPES]
            host = self.config.registry_url.partition(":")[2]
            lines += [f"registry={self.config.registry_url}", f"{host}:_authToken=${{VENDOR_TOKEN}}"]
            userconfig.write_text("\n".join([*lines, "update-notifier=false", ""]))
        env = environment(
            self.config,
            VENDOR_TOKEN=self.vendor_token,
            npm_config_userconfig=str(userconfig),
            npm_config_cache=str(self.config.cache / "npm"),
        )
        command = [str(self.config.bin / "npm"), *arguments, "--loglevel=error"]
        done = subprocess.run(command, cwd=directory, env=env, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            raise LabError(f"npm {arguments[0]} failed in {directory}: {done.stderr.strip()}")

    def _read(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(self.state_file.read_text()) if self.state_file.exists() else {}
        return state

    def _write(self, state: dict[str, Any]) -> None:
        # Renamed into place: the registry may read it at any moment.
        partial = self.state_file.with_suffix(".partial")
        partial.touch(mode=0o600)
        partial.write_text(json.dumps(state, indent=2))
        os.replace(partial, self.state_file)
