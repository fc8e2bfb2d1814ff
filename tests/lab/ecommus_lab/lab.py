"""The lab as a whole: up, down, reset, and what tests do with it while it runs."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from . import processes, trees
from .accounts import Account, Accounts
from .commands import say
from .config import DEFAULT_ORDERS, DEFAULT_VERSION, FLAVOURS, LabConfig, LabError, Shop, load_shops
from .front import Front
from .inventory import for_all, host_vars
from .postgres import Postgres
from .proxy import Proxy
from .registry import Registry
from .running import RunningShop
from .seed import admin_probe, seed
from .shops import Installer, ShopSecrets
from .sshd import Sshd, available
from .vendor import Vendor

HEALTHY_WITHIN = 90  # seconds; the slowest is two Next.js servers booting on two busy cores


class Lab:
    """A lab that runs, or is being made. Make one with :meth:`up` or :meth:`attach`."""

    def __init__(self, config: LabConfig, state: dict[str, Any]) -> None:
        self.config = config
        self.state = state
        self.postgres = Postgres(config, state["postgres_password"])
        self.registry = Registry(config, state["vendor_token"])
        self.proxy = Proxy(config)
        self.sshd = Sshd(config, self.deploy.name if self.deploy else None)
        self.vendor = Vendor(config, state["flavour"])
        self._shops = {shop.name: shop for shop in load_shops(config, state["shops"])}

    # --- life ------------------------------------------------------------------------------------

    @classmethod
    def attach(cls, config: LabConfig | None = None) -> Lab:
        """The lab that runs.

        :raises LabError: none does.
        """
        config = config or LabConfig.from_environment()
        state = _read_state(config)
        if state is None or state["status"] != "up":
            raise LabError(f"no lab runs in {config.home}: start one with make lab")
        return cls(config, state)

    @classmethod
    def up(
        cls,
        config: LabConfig | None = None,
        *,
        flavour: str = "full",
        shops: list[str] | None = None,
        version: str = DEFAULT_VERSION,
        orders: int = DEFAULT_ORDERS,
        deploy_user: bool = False,
    ) -> Lab:
        """Starts a lab, or returns the one that runs.

        :param orders: how many orders each shop has at first.
        :param deploy_user: the shops belong to a user of their own, and another one logs in; where that can be had.
        :raises LabError: a port in use, a failed build, another lab that runs; nothing is left half-started.
        """
        config = config or LabConfig.from_environment()
        if flavour not in FLAVOURS:
            raise LabError(f"no such flavour: {flavour}. There are: {', '.join(FLAVOURS)}")
        names = [shop.name for shop in load_shops(config, shops)]
        with _exclusive(config):
            running = cls._reuse(config, flavour, names)
            if running:
                return running
            cls._check_ports(config, names)
            config.run.mkdir(parents=True, mode=0o700)
            state = {
                "status": "starting",
                "flavour": flavour,
                "version": version,
                "orders": orders,
                "shops": names,
                "port": config.port,
                "deploy_user": deploy_user,
                "postgres_password": secrets.token_urlsafe(18),
                "vendor_token": f"ecn_vendor_{secrets.token_urlsafe(24)}",
            }
            lab = cls(config, state)
            lab.state["secrets"] = {name: ShopSecrets.generate(shop).as_dict() for name, shop in lab._shops.items()}
            lab._save()
            try:
                lab._start()
            except BaseException:
                say("not started; removing what was begun")
                lab._end(keep_logs=True)
                raise
            return lab

    def down(self) -> None:
        """Ends every process of the lab and removes all that it made, except tools and cache."""
        clean_up(self.config)

    def reset(self, shops: list[str] | None = None, *, keep_files: bool = False) -> None:
        """Brings shops back to how :meth:`up` made them: files, databases, licences, processes; and the services.

        :param keep_files: move the former files aside until :meth:`down`. ext4 does not give out the inodes of files that were
            deleted in the last minutes (Linux fs/ext4/ialloc.c, ``recently_deleted``), and the search for others makes the next
            ``npm ci`` take twice as long: who measures must not delete.
        """
        with _exclusive(self.config):
            for service in self._services:
                if processes.running(service.pid_file) is None:
                    service.start()
            for name in shops or list(self._shops):
                shop = self._shops[name]
                say(f"{name}: back to {self.state['version']}")
                self.installer(name).remove(self.config.run / "aside" / f"{name}-{time.time_ns()}" if keep_files else None)
                self._drop_databases(shop)
                self._license(shop)
                self._install([shop])
                self.postgres.create_database(shop.database.name, shop.database.role, _pristine(shop))
                self.installer(name).start()
            self._wait_healthy(shops)

    def alive(self) -> bool:
        """Whether every service and every shop's process manager runs."""
        return all(processes.running(service.pid_file) for service in self._services) and all(
            self.installer(name).pm2.daemon() for name in self._shops
        )

    # --- what tests use --------------------------------------------------------------------------

    @property
    def front(self) -> Front:
        return Front(self.config.proxy_port, self.proxy.ca)

    @property
    def shops(self) -> dict[str, RunningShop]:
        return {name: self.shop(name) for name in self._shops}

    def shop(self, name: str) -> RunningShop:
        """A handle on one shop."""
        return RunningShop(self._shops[name], self.installer(name), self.front, self.registry)

    def installer(self, name: str) -> Installer:
        shop = self._shops[name]
        secrets_of = ShopSecrets(**self.state["secrets"][name])
        return Installer(self.config, shop, secrets_of, self.state.get("licences", {}).get(name, ""), self.owner)

    @property
    def deploy(self) -> Account | None:
        """The user that logs in over SSH, if not the one that runs the lab."""
        return self._account("deploy")

    @property
    def owner(self) -> Account | None:
        """The user that the shops belong to, if not the one that runs the lab."""
        return self._account("owner")

    def _account(self, who: str) -> Account | None:
        found = self.state.get("accounts", {}).get(who)
        return Account(**found) if found else None

    @property
    def _services(self) -> list[Postgres | Registry | Proxy | Sshd]:
        """The daemons that this lab has, in the order in which they start."""
        services: list[Postgres | Registry | Proxy | Sshd] = [self.postgres, self.registry, self.proxy]
        return [*services, self.sshd] if self.state.get("ssh") else services

    # --- steps -----------------------------------------------------------------------------------

    @classmethod
    def _reuse(cls, config: LabConfig, flavour: str, names: list[str]) -> Lab | None:
        state = _read_state(config)
        if state is None:
            shutil.rmtree(config.run, ignore_errors=True)
            return None
        lab = cls(config, state)
        if state["status"] != "up" or not lab.alive():
            say("removing what is left of a lab that was interrupted")
            lab._end()
            return None
        if state["flavour"] != flavour or set(names) - set(state["shops"]):
            raise LabError(
                f"a lab with the {state['flavour']} flavour and the shops {', '.join(state['shops'])} runs already:"
                " stop it first (make lab-down)"
            )
        say("runs already")
        return lab

    @staticmethod
    def _check_ports(config: LabConfig, names: list[str]) -> None:
        wanted = {config.proxy_port, config.postgres_port, config.registry_port, config.sshd_port}
        for shop in load_shops(config, names):
            wanted.update(shop.ports.values())
        taken = [str(port) for port in sorted(wanted) if not processes.bindable(port)]
        if taken:
            raise LabError(f"in use on 127.0.0.1: port {', '.join(taken)}. Set ECOMMUS_LAB_PORT to another base port")

    def _start(self) -> None:
        began = time.monotonic()
        shops = list(self._shops.values())
        say("starting PostgreSQL, registry, TLS front and sshd")
        for service in (self.postgres, self.registry):
            service.create()
            service.start()
        self.proxy.create(shops)
        self.proxy.start()
        self._make_accounts()
        self._start_sshd()
        say(f"preparing the vendor's releases ({self.state['flavour']})")
        self.vendor.publish(self.registry)
        self.state["remote"] = str(self.vendor.remote)
        self.state["allowed_signers"] = str(self.vendor.allowed_signers)
        for shop in shops:
            self._license(shop)
        self._save()
        say("laying out the shops")
        self._install(shops)
        for shop in shops:
            self._fill_database(shop)
            say(f"{shop.name}: starting")
            self.installer(shop.name).start()
        self._wait_healthy()
        self.state["status"] = "up"
        self.state["inventory"] = {shop.name: self._host_vars(shop) for shop in shops}
        self.state["inventory_of_all"] = for_all(self.owner)
        self._save()
        say(f"up after {time.monotonic() - began:.0f} s")

    def _host_vars(self, shop: Shop) -> dict[str, Any]:
        installer = self.installer(shop.name)
        return host_vars(self.config, installer, self.vendor, admin_probe(installer), bool(self.state.get("ssh")), self.deploy)

    def _make_accounts(self) -> None:
        if not self.state["deploy_user"]:
            return
        accounts = Accounts(self.config)
        # Kept, so that tests which need the two users can say why they are skipped.
        self.state["no_deploy_user"] = accounts.unavailable() or available()
        if self.state["no_deploy_user"]:
            say(f"{self.state['no_deploy_user']}: the shops belong to you, and you log in yourself")
            return
        # Others may go through, to what is theirs; what is nobody else's is closed itself.
        for path, mode in ((self.config.run, 0o711), (self.registry.directory, 0o700), (self.config.run / "pids", 0o700)):
            path.chmod(mode)
        deploy, owner = accounts.create(self.vendor.remote)
        self.state["accounts"] = {"deploy": asdict(deploy), "owner": asdict(owner)}
        self._save()
        self.sshd = Sshd(self.config, deploy.name)

    def _start_sshd(self) -> None:
        reason = available()
        if reason:
            say(f"{reason}: the playbooks will use local connections instead of SSH")
            return
        self.sshd.create()
        self.sshd.start()
        self.state["ssh"] = True

    def _license(self, shop: Shop) -> None:
        """Gives a shop its licence and its registry token."""
        licences = self.state.setdefault("licences", {})
        licences.setdefault(shop.name, self.vendor.licence(shop))
        self.registry.license(shop.name, self.vendor.licensed_packages)
        self.registry.give_token(shop.name, self.installer(shop.name).secrets.npm_token)

    def _install(self, shops: list[Shop]) -> None:
        version = self.state["version"]
        tree = trees.built_tree(self.config, self.vendor, version, self.registry.vendor_token)
        with ThreadPoolExecutor(max_workers=2) as pool:
            jobs = [pool.submit(self.installer(shop.name).lay_out, tree, version, self.vendor.remote) for shop in shops]
            for job in jobs:
                job.result()

    def _fill_database(self, shop: Shop) -> None:
        installer = self.installer(shop.name)
        database = shop.database
        say(f"{shop.name}: database {database.name} with {self.state['orders']} orders")
        self.postgres.create_roles(shop, installer.secrets.database_password, installer.secrets.dba_password)
        self.postgres.create_database(database.name, database.role)
        installer.migrate()
        seed(self.config, installer, self.state["orders"])
        self.postgres.freeze(database.name, _pristine(shop))

    def _drop_databases(self, shop: Shop) -> None:
        roles = [role for role in (shop.database.role, shop.database.dba) if role]
        for name in self.postgres.databases_of(*roles):
            self.postgres.drop_database(name)

    def _wait_healthy(self, shops: list[str] | None = None) -> None:
        for name in shops or self._shops:
            problems = self.shop(name).wait_healthy(HEALTHY_WITHIN)
            if problems:
                raise LabError(f"{name} does not get healthy: {'; '.join(problems)}")

    def _end(self, keep_logs: bool = False) -> None:
        for name in self._shops:
            self.installer(name).pm2.kill()
        for service in (self.sshd, self.proxy, self.registry, self.postgres):
            service.stop()
        if self.state.get("deploy_user"):
            Accounts(self.config).remove()
        if keep_logs:
            self._keep_logs()
        shutil.rmtree(self.config.run, ignore_errors=True)

    def _keep_logs(self) -> None:
        target = self.config.home / "last-failure"
        shutil.rmtree(target, ignore_errors=True)
        logs = [path for path in self.config.run.glob("**/*.log") if "node_modules" not in path.parts]
        for log in logs:
            copy = target / log.relative_to(self.config.run)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(log, copy)
        if logs:
            say(f"the logs are in {target}")

    def _save(self) -> None:
        write_private(self.config.state_file, json.dumps(self.state, indent=2))


def clean_up(config: LabConfig) -> bool:
    """Ends whatever runs of a lab, complete or not, and removes what it made; ``False`` if there was nothing."""
    with _exclusive(config):
        state = _read_state(config)
        if state:
            Lab(config, state)._end()
        elif config.run.exists():
            shutil.rmtree(config.run)
        else:
            return False
        return True


def write_private(path: Path, text: str) -> None:
    """Replaces a file that only we may read, in one step."""
    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(text)
    os.replace(partial, path)


def _pristine(shop: Shop) -> str:
    """Name of the database from which a shop's is made anew."""
    return f"lab_pristine_{shop.name}"


def _read_state(config: LabConfig) -> dict[str, Any] | None:
    try:
        state: dict[str, Any] = json.loads(config.state_file.read_text())
    except FileNotFoundError:
        return None
    if state["port"] != config.port:
        # Ports were chosen when the lab was started; a changed environment must not hide it.
        raise LabError(f"the lab in {config.home} runs on base port {state['port']}: set ECOMMUS_LAB_PORT to it")
    return state


@contextlib.contextmanager
def _exclusive(config: LabConfig) -> Iterator[None]:
    """One command at a time."""
    config.home.mkdir(parents=True, exist_ok=True)
    with (config.home / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LabError(f"another command is at work on the lab in {config.home}") from None
        yield
