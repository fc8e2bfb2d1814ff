# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A private PostgreSQL cluster for a test session, of each major version that this machine has."""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

REPO = Path(__file__).resolve().parents[2]
SUPERUSER = "postgres"
NOBODY = "65534"
# Characters that a URL, a password file and a shell each read differently.
PASSWORD = "s:e\\c@r/e?t#%'\" 1"


def installed_majors() -> dict[str, Path]:
    """Directories of programs by major version: the lab's own tools first, then Debian's packages."""
    found: dict[str, Path] = {}
    for directory in [REPO / ".lab/tools/postgres/bin", *sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]:
        server = directory / "postgres"
        if server.exists() and (directory / "pg_restore").exists():
            version = subprocess.run([server, "--version"], capture_output=True, text=True, check=True, timeout=10).stdout
            major = re.findall(r"\d+", version)[0]
            found.setdefault(major, directory)
    return found


@dataclass
class Cluster:
    """One server on the loopback. ``owner`` may create databases, ``plain`` may not, ``dba`` may and is a member of ``plain``."""

    major: int
    bin: Path
    home: Path
    port: int
    process: subprocess.Popen[bytes] | None = field(default=None)

    def create(self) -> None:
        self.home.mkdir(parents=True)
        command = [self.bin / "initdb", "-D", self.home / "data", "-U", SUPERUSER, "--pwfile=/dev/stdin", "-A", "scram-sha-256"]
        command += ["-E", "UTF8", "--locale=C", "--no-sync"]
        subprocess.run([*as_other_user(), *command], input=PASSWORD + "\n", text=True, check=True, capture_output=True, timeout=120)
        self.start()
        with self.connect() as connection:
            secret = sql.Literal(PASSWORD)
            for role in ("CREATE ROLE owner LOGIN CREATEDB", "CREATE ROLE plain LOGIN", "CREATE ROLE dba LOGIN CREATEDB IN ROLE plain"):
                connection.execute(sql.SQL("{} PASSWORD {}").format(sql.SQL(role), secret))  # type: ignore[arg-type]

    def start(self) -> None:
        options = {"listen_addresses": "127.0.0.1", "port": self.port, "unix_socket_directories": "", "fsync": "off"}
        options |= {"max_connections": 60, "autovacuum_naptime": 1, "max_prepared_transactions": 2}
        words = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        with (self.home / "log").open("ab") as log:
            command = [*as_other_user(), self.bin / "postgres", "-D", self.home / "data", *words]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        for _attempt in range(200):
            try:
                self.connect().close()
            except psycopg.OperationalError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.05)
            else:
                return
        raise RuntimeError((self.home / "log").read_text()[-2000:])

    def stop(self) -> None:
        """Fast shutdown: open sessions are cut."""
        if self.process is not None:
            pid = int((self.home / "data/postmaster.pid").read_text().split()[0])
            os.kill(pid, signal.SIGINT)
            self.process.wait(60)
            self.process = None

    def connect(self, database: str = "postgres", role: str = SUPERUSER) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user=role, password=PASSWORD, dbname=database, autocommit=True, connect_timeout=10
        )

    def url(self, database: str, role: str = "owner") -> str:
        return f"postgresql://{role}:{quote(PASSWORD, safe='')}@127.0.0.1:{self.port}/{quote(database, safe='')}"

    def databases(self) -> set[str]:
        with self.connect() as connection:
            return {str(name) for (name,) in connection.execute("SELECT datname FROM pg_database WHERE NOT datistemplate").fetchall()}

    def drop(self, *names: str) -> None:
        with self.connect() as connection:
            for name in names:
                connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def free_port() -> int:
    """A port that nobody listens on, out of a range of our own; several test runs may be at work."""
    for port in random.sample(range(21300, 21400), 100):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
    raise RuntimeError("no port from 21300 to 21399 is free")


def as_other_user() -> list[str]:
    """PostgreSQL refuses uid 0: as root it runs as nobody in a user namespace that keeps the files ours."""
    if os.geteuid() != 0:
        return []
    return [shutil.which("unshare") or "unshare", "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}"]


# A bit of everything that dumps, restores and comparisons get wrong.
SCHEMA = """
CREATE EXTENSION pg_trgm;
CREATE TYPE order_status AS ENUM ('new', 'paid', 'sent');
CREATE DOMAIN sku AS text CHECK (VALUE ~ '^[A-Z0-9-]+$');
CREATE TABLE customers (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, email text UNIQUE NOT NULL, tags text[] NOT NULL DEFAULT '{}',
  parent int REFERENCES customers);
CREATE TABLE "Orders" (id bigserial PRIMARY KEY, customer int NOT NULL REFERENCES customers, status order_status NOT NULL DEFAULT 'new',
  net numeric(10,2) NOT NULL, gross numeric(10,2) GENERATED ALWAYS AS (net * 1.2) STORED, shipping jsonb,
  at timestamptz NOT NULL DEFAULT now(),
  CHECK (status IN ('new', 'paid', 'sent')));
CREATE TABLE lines ("order" bigint REFERENCES "Orders" ON DELETE CASCADE, n int, item sku NOT NULL, weight float8, photo bytea,
  PRIMARY KEY ("order", n));
CREATE TABLE events (at date NOT NULL, what text) PARTITION BY RANGE (at);
CREATE TABLE events_2026 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE TABLE nothing ();
CREATE SCHEMA audit; CREATE TABLE audit.log (what text);
CREATE INDEX ON customers USING gin (email gin_trgm_ops);
CREATE VIEW paid AS SELECT * FROM "Orders" WHERE status = 'paid';
CREATE MATERIALIZED VIEW totals AS SELECT customer, sum(gross) FROM "Orders" GROUP BY 1;
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN INSERT INTO audit.log VALUES (TG_OP); RETURN NEW; END$$;
CREATE TRIGGER note AFTER UPDATE ON "Orders" FOR EACH ROW EXECUTE FUNCTION note();
GRANT SELECT ON customers TO reader;
INSERT INTO customers (email, tags) SELECT i || '@example.org', ARRAY['a', '"q"'] FROM generate_series(1, 1000) i;
UPDATE customers SET parent = id - 1 WHERE id % 2 = 0;
INSERT INTO "Orders" (customer, net, shipping) SELECT 1 + i % 1000, i / 7.0, jsonb_build_object('street', 'Straße ' || i, 'n', i)
  FROM generate_series(1, 5000) i;
INSERT INTO lines SELECT id, n, 'SKU-' || n, random(), decode(md5(id::text), 'hex') FROM "Orders", generate_series(1, 2) n;
INSERT INTO events SELECT date '2026-01-01' + i, 'e' || i FROM generate_series(0, 99) i;
SELECT lo_from_bytea(0, 'a large object');
"""

SETTINGS = """
ALTER DATABASE {db} SET search_path = "$user", public, "odd "" name";
ALTER DATABASE {db} SET lock_timeout = '2500';
ALTER DATABASE {db} SET "app.tenant" = 'it''s';
ALTER ROLE {role} IN DATABASE {db} SET work_mem = '5MB';
ALTER ROLE {role} IN DATABASE {db} SET statement_timeout = '77s';
ALTER DATABASE {db} CONNECTION LIMIT 55;
REVOKE ALL ON DATABASE {db} FROM PUBLIC;
GRANT CONNECT ON DATABASE {db} TO reader, dba;
COMMENT ON DATABASE {db} IS 'it''s the shop';
"""


@dataclass
class Shop:
    """A database with data."""

    cluster: Cluster
    database: str
    role: str

    @property
    def url(self) -> str:
        return self.cluster.url(self.database, self.role)

    def create(self) -> None:
        with self.cluster.connect() as connection:
            if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = 'reader'").fetchone():
                connection.execute("CREATE ROLE reader")
            names = {"db": sql.Identifier(self.database), "role": sql.Identifier(self.role)}
            connection.execute(sql.SQL("CREATE DATABASE {db} OWNER {role} TEMPLATE template0").format(**names))
            connection.execute('GRANT SET ON PARAMETER "app.tenant" TO owner, plain')
            for command in SETTINGS.strip().splitlines():
                connection.execute(sql.SQL(command).format(**names))  # type: ignore[arg-type]
        with self.connect() as connection:
            connection.execute(SCHEMA)  # type: ignore[arg-type]

    def connect(self, database: str = "") -> psycopg.Connection[tuple[object, ...]]:
        return self.cluster.connect(database or self.database, self.role)

    def keep_autovacuum_busy(self, database: str) -> None:
        """Make autovacuum work in *database* for long; returns when it does."""
        with self.connect(database) as connection:
            connection.execute(
                "CREATE TABLE bloat WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1,"
                " autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1) AS SELECT generate_series(1, 50000) i"
            )
            connection.execute("UPDATE bloat SET i = i + 1")
        with self.cluster.connect() as connection:
            query = "SELECT 1 FROM pg_stat_activity WHERE datname = %s AND backend_type = 'autovacuum worker' AND query LIKE '%%bloat%%'"
            until = time.monotonic() + 60
            while not connection.execute(query, [database]).fetchone():
                if time.monotonic() > until:
                    raise RuntimeError("autovacuum does not come")
                time.sleep(0.05)

    def scalar(self, query: str, database: str = "") -> object:
        with self.connect(database) as connection:
            row = connection.execute(query).fetchone()  # type: ignore[arg-type]
            return row[0] if row else None
