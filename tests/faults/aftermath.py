"""A shop in use that something happens to, and what must be true of it afterwards, seen from outside."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import shopstate
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _cutover_record, _fingerprint, _process, _release
from ansible_collections.mdlabs.ecommus.plugins.module_utils._restore import PARTIAL
from ecommus_lab import commands
from ecommus_lab.config import WORKERS, Process
from ecommus_lab.lab import Lab
from ecommus_lab.running import RunningShop, WriteLoad
from interruption import Running, below, command_line, last_run, runs, state
from playbook import Outcome, play

NEW = "v1.4.0"
OLD = "v1.3.2"
ORDERS_PER_SECOND = 3
# Written by customers and workers all the time, by whoever logs in, and by migrations: their ledgers are looked at by themselves.
MOVING = {"orders", "order_lines", "customers", "jobs", "stock_movements", "rate_limits", "refresh_tokens", *shopstate.LEDGERS}
# How many orders there are up to a number, and what was sold with them.
SOLD = """
    SELECT count(DISTINCT o.id), count(l.id), sum(l.quantity * l.unit_price)
    FROM orders o LEFT JOIN order_lines l ON l.order_id = o.id WHERE o.id <= %s"""


class Scene:
    """One shop, fresh, with customers who order all the time."""

    def __init__(self, lab: Lab, name: str, runs: Path) -> None:
        lab.reset([name])
        self.lab = lab
        self.name = name
        self.shop: RunningShop = lab.shop(name)
        self.runs = runs
        runs.mkdir(parents=True)
        self.ledgers, self.columns, self.env = shopstate.ledgers(self.shop), shopstate.columns(self.shop), self.env_file.read_bytes()
        self.saved = self._saved()
        self.contents = self._contents({table for table, *_ in self.columns} - MOVING)
        ((self.last_order,),) = self.shop.query("SELECT max(id) FROM orders")
        self.sold = self.shop.query(SOLD, self.last_order)
        self.load = WriteLoad(self.shop, per_second=ORDERS_PER_SECOND)
        self.started: list[Running] = []
        self.attempts = 0
        self.workers = True  # whether the operator has them at work
        self.undo = contextlib.ExitStack()  # what a test does to the lab, taken back whatever happens
        self.load.__enter__()

    @property
    def env_file(self) -> Path:
        return self.shop.root / ".env"

    @property
    def _at_work(self) -> list[Process]:
        return [process for service, process in self.shop.shop.processes.items() if self.workers or service != WORKERS]

    @property
    def last_run(self) -> dict[str, Any]:
        return last_run(self.shop)

    # --- what an operator does ---------------------------------------------------------------------

    def upgrade(self, version: str = NEW, **variables: object) -> Outcome:
        """The playbook, to its end."""
        return self._play("upgrade", version=version, **variables)

    def rollback(self, **variables: object) -> Outcome:
        return self._play("rollback", **variables)

    def start(self, version: str = NEW, playbook: str = "upgrade", **variables: object) -> Running:
        """The playbook in the background."""
        self.attempts += 1
        running = Running(self.lab, playbook, self.runs / f"attempt{self.attempts}", limit=self.name, version=version, **variables)
        self.started.append(running)
        return running

    def by_hand(self, table: str, statement: str, *values: object) -> None:
        """Write into a table that is at rest otherwise; what it holds then must stay."""
        with self.shop.connect() as connection:
            connection.execute(statement, values)
        self.contents |= self._contents({table})

    def _play(self, playbook: str, **variables: object) -> Outcome:
        self.attempts += 1
        return play(playbook, self.runs / f"attempt{self.attempts}", limit=self.name, **variables)

    # --- what happens to a host --------------------------------------------------------------------

    def reboot(self) -> None:
        """All processes of the shop are gone at once, and come back as the boot script has it (``pm2 resurrect``)."""
        self.shop.pm2.kill()
        self.shop.pm2("resurrect")

    def daemons(self) -> list[int]:
        with contextlib.suppress(OSError, ValueError):
            return [int((self.shop.shop.pm2_home / "pm2.pid").read_text())]
        return []

    def running_from(self, version: str) -> list[int]:
        """What pm2 runs from the directory of that release, by the kernel."""
        return [
            child.pid
            for daemon in self.daemons()
            for child in _process.children(daemon)
            if Path(child.cwd or "/").is_relative_to(self.shop.root.resolve().parent) and f"/{version}-" in f"{child.cwd}"
        ]

    # --- what must be true afterwards --------------------------------------------------------------

    def serves(self, version: str, outcome: str | None = None, *, data: str | None = None, in_part: bool = False) -> None:
        """Everything that is asked of a shop that should serve *version* now, with the data of *data* (default: of the same).

        :param in_part: the migrations of *data* were killed, and not all of them are applied.
        """
        assert [problem for problem in self.shop.wait_healthy(20 if self.workers else 0) if self.workers or "workers" not in problem] == []
        self._runs_only(version)
        self._is_as_the_operator_knows_it()
        self._data_is_of(data or version, in_part)
        self._nothing_is_left_over()
        self._no_order_is_lost()
        if outcome is not None:
            assert self.last_run["outcome"] == outcome, self.last_run
        if outcome == "failed":  # nothing had been touched
            self.nobody_noticed()

    def nobody_noticed(self) -> None:
        """None of the customers, who have left the shop by now, and not the prober of the last command."""
        assert self.load.refused == []
        reports = sorted(self.runs.glob(f"*/*/{self.name}/report.json"), key=lambda path: path.stat().st_mtime)
        report = json.loads(reports[-1].read_text())
        assert not report["requests_failed"], report["services"]

    def _runs_only(self, version: str) -> None:
        assert shopstate.version(self.shop) == version
        serving = shopstate.serving(self.shop)
        assert set(serving) == {process.name for process in self._at_work}
        home = str(self.shop.root.resolve())
        for name, directories in serving.items():
            assert all(directory.startswith(home) for directory in directories), (name, directories, home)

    def _is_as_the_operator_knows_it(self) -> None:
        """Names and numbers of the processes, by pm2's table and by what it will bring back at the next boot."""
        wanted = {process.name: process.instances for process in self._at_work}
        online = [process["name"] for process in self.shop.processes() if process["pm2_env"]["status"] == "online"]
        assert {name: online.count(name) for name in online} == wanted
        # Their paths too: through the root, or the next boot would bring back a release of the past.
        assert self._saved() == self.saved

    def _saved(self) -> list[tuple[str, str, str]]:
        """Name, directory and script of each process that pm2 would bring back, with the paths that it would use."""
        saved = json.loads((self.shop.shop.pm2_home / "dump.pm2").read_text())
        return sorted((process["name"], process["pm_cwd"], process["pm_exec_path"]) for process in saved)

    def _contents(self, tables: Iterable[str]) -> dict[str, tuple[int, str]]:
        """Number and hash of the rows of those tables, in the columns that they had at first."""
        with psycopg.connect(self.shop.database_url) as connection:
            _fingerprint.prepare(connection)
            return {
                table: _fingerprint.content(connection, ("public", table), [name for owner, name, _ in self.columns if owner == table])
                for table in tables
            }

    def _data_is_of(self, version: str, in_part: bool) -> None:
        assert self._contents(self.contents) == self.contents
        assert self.shop.query(SOLD, self.last_order) == self.sold
        ledgers = shopstate.ledgers(self.shop)
        if version == OLD:
            assert shopstate.columns(self.shop) == self.columns
            assert [[row[1:] for row in ledger] for ledger in ledgers] == [[row[1:] for row in ledger] for ledger in self.ledgers]
            assert self.env_file.read_bytes() == self.env
            return
        for before, after in zip(self.ledgers, ledgers, strict=True):
            assert set(before) <= set(after)
            names = [row[1:3] for row in after]
            assert len(names) == len(set(names)), "a migration was applied twice"
        files = commands.git("ls-tree", "--name-only", f"{version}:packages/db/migrations", cwd=self.lab.vendor.remote).split()
        applied, brought = {row[1] for row in ledgers[0]}, {name.removesuffix(".sql") for name in files if name.endswith(".sql")}
        assert applied <= brought if in_part else applied == brought

    def _nothing_is_left_over(self) -> None:
        assert not (state(self.shop) / "lock").exists()
        assert not (state(self.shop) / "lock_limit.json").exists()
        assert not [run for run in runs(self.shop) if "open" in (run["outcome"], *(phase["status"] for phase in run["phases"]))]
        self._no_file_or_database_is_left_over()
        limits = self.shop.query("SELECT unnest(setconfig) FROM pg_db_role_setting")
        assert not [limit for (limit,) in limits if "lock_timeout" in limit], limits
        pm2s = {pid for daemon in self.daemons() for pid in below(daemon)}
        strays = [pid for pid in self._pids_at_work() if pid not in pm2s]
        deadline = time.monotonic() + 10  # one that ends just now may end
        while strays and time.monotonic() < deadline:
            time.sleep(0.2)
            strays = [pid for pid in strays if _process.alive(pid)]
        assert not strays, [_process.inspect(pid) for pid in strays]

    def _no_file_or_database_is_left_over(self) -> None:
        """Of what is made under another name first, or noted while it is under way."""
        shop = self.shop.shop
        assert not [name for name in shopstate.databases(self.shop) if name.endswith(PARTIAL)]
        assert not list(shop.snapshot_dir.rglob("*.partial"))
        assert not list(shop.base.glob(f"releases/*{_release.REMOVED}"))
        record = Path(_cutover_record.Record.of(str(shop.pm2_home)).path)
        assert not list(record.parent.glob(f"{record.name}*"))

    def _pids_at_work(self) -> list[int]:
        """What works in the shop's directory, and what a playbook of this scene has started and left, such as a prober."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                in_the_shop = str((entry / "cwd").resolve()).startswith(f"{self.shop.shop.directory}/")
                if in_the_shop or f"{self.runs}/" in command_line(int(entry.name)):
                    found.append(int(entry.name))
        return found

    def _no_order_is_lost(self) -> None:
        """Every order that the shop acknowledged is in the live database, or in the file for people to look at, with what was ordered."""
        self.load.__exit__(None, None, None)
        accepted = self.load.accepted
        assert accepted, self.load.refused[:3]
        assert len(accepted) == len(set(accepted)), "a number was given to two orders"
        orders, lines = self._orders_and_lines()
        ((product, price),) = self.shop.query(
            "SELECT id, price::float8 FROM products WHERE sku = %s AND"
            " tenant_id = (SELECT tenant_id FROM settings WHERE key = 'domain' AND value #>> '{}' = %s)",
            *(self.shop.sku(), self.shop.shop.domain),
        )
        found = {number: (orders.get(number), [line[1:] for line in lines.values() if line[0] == number]) for number in accepted}
        assert {number: held for number, held in found.items() if held != (price, [(product, 1, price)])} == {}

    def _orders_and_lines(self) -> tuple[dict[int, float], dict[int, tuple[int, int, int, float]]]:
        """Of the orders that were acknowledged: the total of each; and per line its order, product, quantity and price."""
        numbers = self.load.accepted
        orders = dict(self.shop.query("SELECT id, total::float8 FROM orders WHERE id = ANY(%s)", numbers))
        query = "SELECT id, order_id, product_id, quantity, unit_price::float8 FROM order_lines WHERE order_id = ANY(%s)"
        lines = {number: tuple(line) for number, *line in self.shop.query(query, numbers)}
        for table, row in self._for_review():
            if table == "public.orders":
                orders.setdefault(row["id"], float(row["total"]))
            elif table == "public.order_lines":
                lines.setdefault(row["id"], (row["order_id"], row["product_id"], row["quantity"], float(row["unit_price"])))
        return orders, lines

    def _for_review(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Table and content of the rows that people have to look at."""
        for review in self.shop.shop.snapshot_dir.glob("*.review.jsonl"):
            for line in review.read_text().splitlines():
                row = json.loads(line)
                yield row["table"], row["row"]

    def close(self) -> None:
        self.load.__exit__(None, None, None)
        self.undo.close()
        for running in self.started:
            if running.process.poll() is None:
                running.kill_everything()
