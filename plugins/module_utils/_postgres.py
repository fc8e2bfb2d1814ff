# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the library reaches a PostgreSQL server: the shop's DATABASE_URL taken apart, a session, an environment for the client tools."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import tempfile
import traceback
import typing as t
import urllib.parse

from ansible.module_utils.basic import missing_required_lib
from ansible_collections.mdlabs.ecommus.plugins.module_utils._command import clean_environment, scrub
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError

PSYCOPG_ERROR: str | None = None
DATABASE_ERRORS: tuple[type[Exception], ...] = ()  # what the driver raises, for except clauses
try:
    import psycopg
    from psycopg import sql

    DATABASE_ERRORS = (psycopg.Error,)
except ImportError:
    PSYCOPG_ERROR = traceback.format_exc()

if t.TYPE_CHECKING:
    Session = psycopg.Connection[tuple[t.Any, ...]]
    Table = tuple[str, str]  # schema and name

# Connection parameters that libpq knows, with the environment variable of each. PostgreSQL docs: libpq, 34.15 Environment
# Variables. Whatever else a URL carries (Prisma's schema, connection_limit, pgbouncer ...) speaks to the shop's own driver.
_ENVIRONMENT = {
    "host": "PGHOST",
    "hostaddr": "PGHOSTADDR",
    "port": "PGPORT",
    "dbname": "PGDATABASE",
    "user": "PGUSER",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "sslcrl": "PGSSLCRL",
    "channel_binding": "PGCHANNELBINDING",
    "gssencmode": "PGGSSENCMODE",
    "options": "PGOPTIONS",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
}

# What node-postgres says and libpq does not, by what it means there (pg-connection-string README, "ssl" parameters).
_NODE_SSL = {"ssl=true": "require", "ssl=1": "require", "ssl=0": "disable", "ssl=false": "disable", "sslmode=no-verify": "require"}

# Nothing that we do may queue up the shop behind a lock that we wait for without an end.
_LOCK_TIMEOUT_S = 30

INSUFFICIENT_PRIVILEGE = "42501"  # sqlstates
OBJECT_IN_USE = "55006"
LOCK_NOT_AVAILABLE = "55P03"

# The roles' own limits must not end a dump, nor a proof that takes longer than a web request may.
_UNLIMITED = ("statement_timeout", "idle_in_transaction_session_timeout", "idle_session_timeout", "transaction_timeout")

_URL = re.compile(
    r"postgres(?:ql)?://(?:(?P<userinfo>[^/?#]*)@)?(?P<hosts>[^/?#]*)(?:/(?P<database>[^/?#]*))?(?:\?(?P<query>[^#]*))?",
)


@dataclasses.dataclass(frozen=True)
class Target:
    """Where a database is and who logs in. The password is never part of its text form.

    :param parameters: libpq connection parameters without the password, ``dbname`` always among them.
    :param schema: what Prisma's ``?schema=`` names, else empty.
    """

    parameters: t.Mapping[str, str]
    password: str = dataclasses.field(default="", repr=False)
    schema: str = ""

    @classmethod
    def from_url(cls, url: str) -> Target:
        """Take a connection URL apart the way node's drivers do: percent-decoding, several hosts, sockets, IPv6.

        :raises EcommusError: when it is none; the error does not quote it, it holds the password.
        """
        match = _URL.fullmatch(url.strip())
        if not match:
            raise EcommusError(
                "the database URL is not of the form postgresql://user:password@host:port/database",
                "correct DATABASE_URL; characters such as / ? # in the password must be percent-encoded",
            )
        user, _separator, password = (match["userinfo"] or "").partition(":")
        hosts, ports = _hosts(match["hosts"])
        found = {"host": hosts, "port": ports, "user": _decode(user), "dbname": _decode(match["database"] or "")}
        query = dict(_pair(item) for item in (match["query"] or "").split("&") if item)
        for key, value in query.items():
            if key in _ENVIRONMENT:
                found[key] = value
            node_mode = _NODE_SSL.get(f"{key}={value.lower()}")
            if node_mode:
                found["sslmode"] = node_mode
        found["dbname"] = found["dbname"] or found["user"]
        if not found["dbname"]:
            raise EcommusError("the database URL names no database", "add /<database> to DATABASE_URL")
        return cls({key: value for key, value in found.items() if value}, query.get("password", _decode(password)), query.get("schema", ""))

    @property
    def database(self) -> str:
        """Name of the database."""
        return self.parameters["dbname"]

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not appear in any text: the password, plain and percent-encoded."""
        return tuple({self.password, urllib.parse.quote(self.password, safe="")} - {""})

    def at(self, database: str) -> Target:
        """The same server and role, another database."""
        return dataclasses.replace(self, parameters={**self.parameters, "dbname": database})

    def __str__(self) -> str:
        where = self.parameters.get("host", "the local socket")
        port = self.parameters.get("port")
        return f"database {self.database} as {self.parameters.get('user', 'the current user')} on {where}{':' + port if port else ''}"

    @contextlib.contextmanager
    def environment(self, path_prefix: t.Sequence[str] = (), application: str = "ecommus") -> t.Iterator[dict[str, str]]:
        """The environment in which pg_dump and pg_restore find the server.

        The password lies in a file that only this user can read and that goes with the context: in an argument every user
        of the host could read it (``ps``), in PGPASSWORD it would be inherited by whatever the tool starts.
        """
        extra = {_ENVIRONMENT[key]: value for key, value in self.parameters.items()}
        extra["PGAPPNAME"] = application
        with tempfile.TemporaryDirectory(prefix="ecommus-pg-") as directory:
            if self.password:
                extra["PGPASSFILE"] = os.path.join(directory, "pgpass")
                with os.fdopen(os.open(extra["PGPASSFILE"], os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
                    file.write("*:*:*:*:" + re.sub(r"([\\:])", r"\\\1", self.password) + "\n")
            yield clean_environment(extra, path_prefix)


def _decode(text: str) -> str:
    return urllib.parse.unquote(text)


def _pair(item: str) -> tuple[str, str]:
    key, _separator, value = item.partition("=")
    return _decode(key), _decode(value)


def _hosts(text: str) -> tuple[str, str]:
    """Hosts and ports as libpq wants them: two lists of equal length, comma separated."""
    hosts, ports = [], []
    for item in text.split(","):
        match = re.fullmatch(r"(?:\[(?P<v6>[^\]]+)\]|(?P<name>[^:]*))(?::(?P<port>\d*))?", item)
        if not match:
            raise EcommusError("the database URL has a host that cannot be read", "write host:port, and IPv6 addresses in brackets")
        hosts.append(_decode(match["v6"] or match["name"] or ""))
        ports.append(match["port"] or "")
    return ",".join(hosts), ",".join(ports) if any(ports) else ""


def require_psycopg() -> None:
    """Say what to install when the driver is missing on this host."""
    if PSYCOPG_ERROR is not None:
        raise EcommusError(missing_required_lib("psycopg"), 'pip install "psycopg[binary]" for that Python', exception=PSYCOPG_ERROR)


@contextlib.contextmanager
def session(target: Target, *, autocommit: bool = True, timeout: int = 10, application: str = "ecommus") -> t.Iterator[Session]:
    """A session that our own work may take as long as it needs in; closed at the end.

    :param timeout: seconds to wait for the connection.
    :raises EcommusError: when it cannot be opened, or when the server refuses something in the body.
    """
    require_psycopg()
    try:
        connection = psycopg.connect(
            **{**target.parameters, "password": target.password or None},  # type: ignore[arg-type]
            autocommit=autocommit,
            connect_timeout=timeout,
            application_name=application,
            client_encoding="UTF8",
        )
    except psycopg.OperationalError as error:
        raise connection_error(target, error) from None
    try:
        with contextlib.closing(connection):
            connection.execute("SELECT set_config(name, '0', false) FROM pg_settings WHERE name = ANY(%s)", [list(_UNLIMITED)])
            connection.execute(f"SET lock_timeout = '{_LOCK_TIMEOUT_S}s'")
            if not autocommit:
                connection.commit()
            yield connection
    except psycopg.Error as error:
        raise server_error(target, error) from error


def connection_error(target: Target, error: Exception) -> EcommusError:
    """What kept us out, in words that an operator can act on, without the password."""
    text = " ".join(scrub(str(error), target.secrets).split())
    remedies = {
        "password authentication failed": "correct the user or the password in DATABASE_URL (percent-encode special characters)",
        "no password supplied": "add the password to DATABASE_URL",
        "does not exist": "correct the database name or the role in DATABASE_URL",
        "not currently accepting connections": "ALTER DATABASE ... ALLOW_CONNECTIONS true, when nobody barred it on purpose",
        "too many clients": "raise max_connections or lower the pool size of the shop",
        "no pg_hba.conf entry": "allow this host, role and database in pg_hba.conf",
        "SSL": "correct sslmode and sslrootcert in DATABASE_URL",
        "starting up": "wait until the server has recovered",
    }
    otherwise = "start PostgreSQL, or correct host and port in DATABASE_URL"
    remedy = next((remedy for sign, remedy in remedies.items() if sign in text), otherwise)
    return EcommusError(f"cannot connect to {target}: {text}", remedy)


def server_error(target: Target, error: Exception) -> EcommusError:
    """A refusal of the server as an error of ours; ``sqlstate`` is kept for callers that can do something about it."""
    text = " ".join(scrub(str(error), target.secrets).split())
    state = getattr(error, "sqlstate", None)
    remedies = {
        INSUFFICIENT_PRIVILEGE: "use a role with that right: one with CREATEDB that is a member of the owner, in admin_url",
        "53100": "free disk space on the database server",
        LOCK_NOT_AVAILABLE: "end the session that holds the lock (state=described of pg_snapshot lists long ones), then run again",
        "57P01": "look in the server's log why it ended the session, then run again",
        "42P04": "choose another name, or remove that database first",
    }
    remedy = remedies.get(state or "", "look in the server's log, then run again")
    return EcommusError(f"PostgreSQL refused, {target}: {text}", remedy, sqlstate=state)


def refusal(error: Exception) -> str:
    """SQLSTATE and message without the details: those quote the row, and a row is customers' data."""
    diagnosis = getattr(error, "diag", None)
    return f"{getattr(error, 'sqlstate', '')} {getattr(diagnosis, 'message_primary', None) or type(error).__name__}"


def rows(connection: Session, query: t.Any, parameters: t.Any = None) -> list[tuple[t.Any, ...]]:
    """All rows of a query."""
    return connection.execute(query, parameters).fetchall()


def value(connection: Session, query: t.Any, parameters: t.Any = None) -> t.Any:
    """First column of the first row, None without a row."""
    row = connection.execute(query, parameters).fetchone()
    return row[0] if row else None


def statement(template: str, *names: str) -> t.Any:
    """An SQL statement with ``{}`` replaced by quoted identifiers, for what cannot take parameters."""
    return sql.SQL(t.cast(t.Any, template)).format(*(sql.Identifier(name) for name in names))


def literal(text: str) -> t.Any:
    """A string as an SQL literal."""
    return sql.Literal(text)


def option(key: str, text: str) -> t.Any:
    """``KEY 'text'`` with a key that is ours."""
    return sql.SQL("{} {}").format(sql.SQL(t.cast(t.Any, key)), sql.Literal(text))


def setting(key: str, values: t.Sequence[str]) -> t.Any:
    """``key TO 'value', ...`` for ALTER ... SET; *key* may be of an extension (``app.tenant``)."""
    return sql.SQL("{} TO {}").format(sql.Identifier(*key.split(".")), sql.SQL(", ").join(sql.Literal(item) for item in values))


def joined(parts: t.Sequence[t.Any]) -> t.Any:
    """Parts of a statement with spaces between."""
    return sql.SQL(" ").join(parts)
