"""The lab's PostgreSQL cluster."""

from __future__ import annotations

import os
import signal
import subprocess
from functools import cached_property
from typing import Any

from . import processes
from .config import LabConfig, LabError, Shop
from .tools import environment

SUPERUSER = "postgres"
NOBODY = 65534

# A lab's data is made anew at will, so durability is traded for speed. Everything else is as shipped.
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # a socket's path may be too long, and nobody needs it
    "fsync": "off",
    "shared_buffers": "64MB",
    "max_connections": "200",
}


class Postgres:
    """Starts and stops the cluster and runs statements as its superuser."""

    def __init__(self, config: LabConfig, password: str) -> None:
        self.config = config
        self.password = password
        self.directory = config.run / "postgres"
        self.data = self.directory / "data"
        self.log = self.directory / "postgres.log"
        self.pid_file = config.run / "pids/postgres.json"

    def create(self) -> None:
        """Makes the cluster.

        :raises LabError: ``initdb`` failed.
        """
        self.directory.mkdir(parents=True)
        # Handed over by a pipe, so that no file is left for the other user to read.
        command = [
            *(str(self.config.bin / "initdb"), "--pgdata", str(self.data), "--username", SUPERUSER),
            *("--auth", "scram-sha-256", "--pwfile", "/dev/stdin", "--encoding", "UTF8", "--no-sync"),
            *("--locale-provider", "builtin", "--builtin-locale", "C.UTF-8", "--locale", "C"),
        ]
        done = subprocess.run(
            [*self._as_other_user, *command],
            input=self.password + "\n",
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if done.returncode:
            raise LabError(f"initdb failed: {done.stderr.strip()}")

    def start(self) -> None:
        """Starts the server and waits until it takes statements."""
        settings = {**SETTINGS, "port": str(self.config.postgres_port)}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        command = [str(self.config.bin / "postgres"), "-D", str(self.data), *options]
        processes.spawn([*self._as_other_user, *command], self.pid_file, self.log, self._environment)
        processes.wait_for_port("PostgreSQL", self.config.postgres_port, self.pid_file, self.log)
        if not processes.wait_until(self._ready, 30):
            raise LabError(f"PostgreSQL takes no statements, see {self.log}")

    def stop(self) -> None:
        """Stops the server; open connections are cut (fast shutdown)."""
        processes.stop(self.pid_file, signal.SIGINT, patience=30)

    def connect(self, database: str = "postgres") -> Any:
        """A psycopg connection as superuser, in autocommit mode."""
        import psycopg

        return psycopg.connect(
            host="127.0.0.1",
            port=self.config.postgres_port,
            user=SUPERUSER,
            password=self.password,
            dbname=database,
            autocommit=True,
            connect_timeout=10,
        )

    def create_roles(self, shop: Shop, password: str, dba_password: str) -> None:
        """Makes the shop's owner role and, if it may not create databases, the one that may."""
        from psycopg import sql

        database = shop.database
        with self.connect() as connection:
            right = sql.SQL("CREATEDB" if database.createdb else "NOCREATEDB")
            connection.execute(
                sql.SQL("CREATE ROLE {} LOGIN {} PASSWORD {}").format(sql.Identifier(database.role), right, sql.Literal(password))
            )
            if database.dba:
                connection.execute(
                    sql.SQL("CREATE ROLE {} LOGIN CREATEDB PASSWORD {} IN ROLE {}").format(
                        sql.Identifier(database.dba), sql.Literal(dba_password), sql.Identifier(database.role)
                    )
                )

    def create_database(self, name: str, owner: str, template: str = "template0") -> None:
        from psycopg import sql

        statement = sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {}")
        with self.connect() as connection:
            connection.execute(statement.format(*(sql.Identifier(word) for word in (name, owner, template))))

    def freeze(self, name: str, copy: str) -> None:
        """Keeps a copy of a database that nobody can connect to, as template for :meth:`create_database`."""
        from psycopg import sql

        self.create_database(copy, SUPERUSER, name)
        with self.connect() as connection:
            connection.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(sql.Identifier(copy)))

    def databases_of(self, *roles: str) -> list[str]:
        """Names of the databases that one of the roles owns."""
        with self.connect() as connection:
            rows = connection.execute("SELECT datname FROM pg_database WHERE pg_get_userbyid(datdba) = ANY(%s) ORDER BY 1", [list(roles)])
            return [name for (name,) in rows]

    def drop_database(self, name: str) -> None:
        from psycopg import sql

        with self.connect() as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def _ready(self) -> bool:
        import psycopg

        try:
            self.connect().close()
        except psycopg.OperationalError:
            return False
        return True

    @property
    def _environment(self) -> dict[str, str]:
        return environment(self.config, LC_ALL="C")

    @cached_property
    def _as_other_user(self) -> list[str]:
        """Prefix that makes a command not look like root to itself, since PostgreSQL refuses to be root.

        A user namespace keeps the files ours. Where that is refused, as in most containers, the cluster belongs to
        nobody, who gets one capability along so that a home which only root may enter is no obstacle.
        """
        if os.geteuid() != 0:
            return []
        namespace = ["unshare", "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}"]
        if _works(namespace):
            return namespace
        self.directory.mkdir(parents=True, exist_ok=True)
        os.chown(self.directory, NOBODY, NOBODY)
        nobody = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        keep = ["--securebits=+no_setuid_fixup", "--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
        return [*nobody, *keep] if _works([*nobody, *keep]) else nobody


def _works(prefix: list[str]) -> bool:
    return subprocess.run([*prefix, "true"], capture_output=True, timeout=30, check=False).returncode == 0
