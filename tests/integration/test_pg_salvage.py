# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pg_salvage on real servers: a shop that sells through snapshot, migration and the way back loses no order."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _postgres, _restore, _salvage, _snapshot, _swap
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._postgres import Target
from ansible_collections.mdlabs.ecommus.plugins.modules import pg_salvage
from pg_calls import run
from postgres_cluster import Shop, installed_majors

pytestmark = pytest.mark.postgres

OPTIONS = _snapshot.Options(path_prefix=[str(directory) for directory in installed_majors().values()])

BEFORE = """
CREATE TABLE _ecommus_core_migrations (id serial PRIMARY KEY, name text UNIQUE NOT NULL);
INSERT INTO _ecommus_core_migrations (name) VALUES ('0001');
CREATE TABLE flags (name text PRIMARY KEY, value jsonb);
INSERT INTO flags VALUES ('old', 'null'), ('gone', NULL), ('stays', '1');
"""

# A new table with rows of its own, an old one filled back, one with a new row, a new enum value, a renamed column.
MIGRATION = """
BEGIN;
INSERT INTO _ecommus_core_migrations (name) VALUES ('0002');
ALTER TABLE "Orders" ADD COLUMN channel text NOT NULL DEFAULT 'web';
UPDATE "Orders" SET channel = 'shop' WHERE id % 2 = 0;
CREATE TABLE payments (id serial PRIMARY KEY, "order" bigint REFERENCES "Orders");
INSERT INTO payments ("order") SELECT id FROM "Orders" LIMIT 10;
INSERT INTO flags VALUES ('new', '{}');
COMMIT;
ALTER TYPE order_status ADD VALUE 'refunded';
"""


class Seller(threading.Thread):
    """Sells steadily; remembers every order that the database acknowledged."""

    def __init__(self, shop: Shop) -> None:
        super().__init__()
        self.shop = shop
        self.stopped = threading.Event()
        self.acknowledged: list[int] = []

    def run(self) -> None:
        with self.shop.connect() as connection:
            while not self.stopped.is_set():
                with connection.transaction():
                    row = connection.execute(
                        "INSERT INTO \"Orders\" (customer, net, shipping) VALUES (1, 3, 'null') RETURNING id"
                    ).fetchone()
                    assert row
                    connection.execute("INSERT INTO lines (\"order\", n, item, weight, photo) VALUES (%s, 1, 'A-1', 0.1, '\\x00ff')", row)
                self.acknowledged.append(int(str(row[0])))
                time.sleep(0.005)

    def stop(self) -> None:
        self.stopped.set()
        self.join()


@pytest.fixture
def target(pg_database: Shop) -> Target:
    with pg_database.connect() as connection:
        connection.execute(BEFORE)  # type: ignore[arg-type]
    return Target.from_url(pg_database.url)


def call(shop: Shop, path: Path | None, **arguments: Any) -> dict[str, Any]:
    return run(pg_salvage, {"database_url": shop.url, "failed_database": "failed", "path": path and str(path), **arguments})


def snapshot(target: Target, path: Path) -> None:
    _snapshot.create(target, str(path), OPTIONS)
    _restore.restore(target, target, str(path), "copy", 1, OPTIONS)


def ids(shop: Shop, query: str) -> set[Any]:
    with shop.connect() as connection:
        return {row[0] for row in connection.execute(query).fetchall()}  # type: ignore[arg-type]


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_no_acknowledged_order_is_lost(  # noqa: PLR0915
    pg_database: Shop, target: Target, tmp_path: Path
) -> None:
    shop, path, review = pg_database, tmp_path / "pre.dump", tmp_path / "review.jsonl"
    seller = Seller(shop)
    seller.start()
    try:
        time.sleep(0.3)
        snapshot(target, path)
        with shop.connect() as connection:
            connection.execute(MIGRATION)  # type: ignore[arg-type]
        time.sleep(0.3)
    finally:
        seller.stop()
    with shop.connect() as connection:
        connection.execute("UPDATE customers SET tags = '{changed}' WHERE id IN (3, 4)")
        connection.execute("DELETE FROM flags WHERE name = 'gone'")
        connection.execute('ALTER TABLE "Orders" DROP CONSTRAINT "Orders_status_check"')
        connection.execute("INSERT INTO \"Orders\" (customer, net, status) VALUES (2, 9, 'refunded')")
        # Among the new rows, one refers to another that is stored behind it (the update moves that there).
        connection.execute("INSERT INTO customers (email) VALUES ('a@x')")
        connection.execute("INSERT INTO customers (email, parent) SELECT 'b@x', id FROM customers WHERE email = 'a@x'")
        connection.execute("UPDATE customers SET tags = '{later}' WHERE email = 'a@x'")
        connection.execute("INSERT INTO events VALUES ('2026-06-01', 'new')")
        connection.execute("UPDATE \"Orders\" SET status = 'paid' WHERE id = 1")  # fires a trigger that writes audit.log
    at_stake = call(shop, path, mode="report", replacement="copy")
    _swap.swap(target, target, "copy", "failed")
    early = ids(shop, 'INSERT INTO "Orders" (customer, net) VALUES (1, 3) RETURNING id')  # before anything is carried over
    assert early.isdisjoint(seller.acknowledged)
    lost = set(seller.acknowledged) - ids(shop, 'SELECT id FROM "Orders"')
    assert len(lost) > 20

    reported = call(shop, path, mode="report", review_file=str(review))
    assert not reported["changed"] and reported["tables"]["public.Orders"]["inserted"] == len(lost) + 1
    assert {line["row"]["id"] for line in lines(review) if line["table"] == "public.Orders"} >= lost
    # What the return takes away was known before it. Once it is made, the rows are where they are kept.
    assert not at_stake["changed"] and at_stake["tables"] == reported["tables"] and at_stake["totals"]["deleted"] == 1
    assert call(shop, path, mode="report", replacement="copy")["tables"] == reported["tables"]
    predicted = call(shop, path, _ansible_check_mode=True)
    assert predicted["changed"] and predicted["totals"] == reported["totals"]
    assert len(set(seller.acknowledged) - ids(shop, 'SELECT id FROM "Orders"')) == len(lost)

    done = call(shop, path, review_file=str(review))
    tables = done["tables"]
    assert done["changed"] and set(seller.acknowledged) <= ids(shop, 'SELECT id FROM "Orders"')
    assert set(seller.acknowledged) <= ids(shop, 'SELECT "order" FROM lines')
    assert tables["public.Orders"]["inserted"] == len(lost) and tables["public.Orders"]["columns_left_behind"] == ["channel"]
    assert tables["public.Orders"]["not_transferable"] == 1 and "refunded" in tables["public.Orders"]["reasons"][0]
    assert tables["public.Orders"]["changed"] == 1 and tables["public.customers"]["changed"] == 2
    assert tables["public.customers"]["inserted"] == 2 and tables["public.flags"] | {"reasons": []} == {
        **dict.fromkeys(("inserted", "updated", "changed", "not_transferable"), 0),
        **{"deleted": 1, "by_migration": 1, "reasons": [], "columns_left_behind": []},
    }
    assert "public.payments" not in tables and "public._ecommus_core_migrations" not in tables
    assert ids(shop, "SELECT name FROM _ecommus_core_migrations") == {"0001"}
    assert ids(shop, "SELECT name FROM flags") == {"old", "gone", "stays"}
    # A JSON null stayed one, floats and bytes came through, computed columns were computed.
    assert ids(shop, f'SELECT shipping::text FROM "Orders" WHERE id = {max(lost)}') == {"null"}
    assert ids(shop, f'SELECT gross::text FROM "Orders" WHERE id = {max(lost)}') == {"3.60"}
    assert ids(shop, f"SELECT weight || encode(photo, 'hex') FROM lines WHERE \"order\" = {max(lost)}") == {"0.100ff"}
    assert ids(shop, "SELECT c.email FROM customers c JOIN customers p ON p.id = c.parent WHERE p.email = 'a@x'") == {"b@x"}
    # What a trigger had written was carried over once, and the trigger still stands.
    assert tables["audit.log"]["by_migration"] > 2000
    assert ids(shop, "SELECT count(*) FROM audit.log") == {1} and ids(shop, "SELECT count(*) FROM events") == {101}
    assert ids(shop, "SELECT tgenabled::text FROM pg_trigger WHERE tgname = 'note'") == {"O"}
    # Numbers that were given out are not given out again: the refunded order's neither.
    assert ids(shop, f"SELECT nextval('\"Orders_id_seq\"') > {max(seller.acknowledged) + 1}") == {True}
    kinds = {(line["table"], line["kind"]) for line in lines(review)}
    assert kinds == {("public.Orders", kind) for kind in ("not_transferable", "partial", "changed")} | {
        ("public.customers", "changed"),
        ("public.flags", "deleted"),
    }
    assert [line["row"]["name"] for line in lines(review) if line["kind"] == "deleted"] == ["gone"]
    assert review.stat().st_mode & 0o777 == 0o600

    again = call(shop, path, review_file=str(review))
    assert not again["changed"] and again["totals"]["inserted"] == 0
    assert again["totals"]["deleted"] == 1 and "deleted" in {line["kind"] for line in lines(review)}
    updated = call(shop, path, updates=True, review_file=str(review))
    assert updated["changed"] and updated["totals"]["updated"] == 3 and updated["totals"]["changed"] == 0
    assert [line["row"]["id"] for line in lines(review) if line["kind"] == "partial"] == [1]
    assert ids(shop, 'SELECT status::text FROM "Orders" WHERE id = 1') == {"paid"}
    assert ids(shop, "SELECT id FROM customers WHERE tags = '{changed}'") == {3, 4}
    assert ids(shop, "SELECT count(*) FROM audit.log") == {1}


def test_a_later_content_is_given_only_where_that_is_safe(
    pg_database: Shop, target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, path, review = pg_database, tmp_path / "pre.dump", tmp_path / "review.jsonl"
    with shop.connect() as connection:
        connection.execute("CREATE TABLE prices (id int PRIMARY KEY, net int); INSERT INTO prices SELECT n, n FROM generate_series(1, 5) n")
        connection.execute("CREATE TABLE stock (id int PRIMARY KEY, n int); INSERT INTO stock SELECT n, 9 FROM generate_series(1, 5) n")
    snapshot(target, path)
    with shop.connect() as connection:
        connection.execute("UPDATE stock SET n = 8 WHERE id = 1")  # before the backfill touches it
        with connection.transaction():  # one that changes what old columns mean, and one that fills a new column
            connection.execute("INSERT INTO _ecommus_core_migrations (name) VALUES ('0002'); UPDATE prices SET net = net * 100")
            connection.execute("ALTER TABLE stock ADD COLUMN place text; UPDATE stock SET place = 'shelf' WHERE id < 3")
        connection.execute("UPDATE prices SET net = 700 WHERE id = 1")
        connection.execute("UPDATE customers SET tags = '{changed}' WHERE id < 5")
        connection.execute("UPDATE flags SET value = '2' WHERE name = 'stays'")
        connection.execute("DELETE FROM stock WHERE id = 5; INSERT INTO stock VALUES (6, 9), (7, 9)")
    _swap.swap(target, target, "copy", "failed")
    with shop.connect() as connection:
        connection.execute("UPDATE customers SET tags = '{live}' WHERE id = 3; INSERT INTO stock VALUES (8, 9)")

    replay = _salvage._replay

    def the_shop_is_faster(*given: Any) -> Any:
        with shop.connect() as connection:
            connection.execute("UPDATE customers SET tags = '{faster}' WHERE id = 4")
        return replay(*given)

    monkeypatch.setattr(_salvage, "_replay", the_shop_is_faster)
    done = _salvage.salvage(target, "failed", str(path), _salvage.Wish(True, True, str(review)))
    assert ids(shop, "SELECT tags::text FROM customers WHERE id < 5") == {"{changed}", "{live}", "{faster}"}
    assert ids(shop, "SELECT id FROM customers WHERE tags = '{changed}'") == {1, 2}
    assert ids(shop, "SELECT value::text FROM flags WHERE name = 'stays'") == {"2"}
    assert ids(shop, "SELECT net FROM prices") == {1, 2, 3, 4, 5} and ids(shop, "SELECT n FROM stock") == {9}
    held = {(line["table"], line["kind"], str(line["row"]["id"])) for line in lines(review)}
    assert held == {
        ("public.customers", "changed", "3"),
        ("public.customers", "not_transferable", "4"),
        ("public.prices", "changed", "1"),
        ("public.stock", "changed", "1"),
        ("public.stock", "deleted", "5"),
        ("public.stock", "partial", "6"),
        ("public.stock", "partial", "7"),
    }
    assert {key: done["totals"][key] for key in ("updated", "changed", "by_migration", "not_transferable")} == {
        **{"updated": 3, "changed": 3, "by_migration": 4, "not_transferable": 1}
    }
    again = call(shop, path, updates=True)
    assert not again["changed"] and again["totals"]["deleted"] == 1


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_database_that_was_itself_restored_is_not_taken_for_a_migration(
    pg_database: Shop, target: Target, tmp_path: Path, jobs: int
) -> None:
    """After a good upgrade another one failed and went back; then the good one is undone too. With one job all rows have one xmin."""
    shop, path, later, review = pg_database, tmp_path / "pre.dump", tmp_path / "later.dump", tmp_path / "review.jsonl"
    with shop.connect() as connection:
        connection.execute("CREATE TABLE wishes (id serial PRIMARY KEY, what text)")
    snapshot(target, path)
    with shop.connect() as connection:
        connection.execute(MIGRATION)  # type: ignore[arg-type]
        connection.execute("INSERT INTO wishes (what) VALUES ('a pony')")
        connection.execute("UPDATE customers SET tags = '{changed}' WHERE id = 3")
        connection.execute('INSERT INTO payments ("order") VALUES (1) RETURNING id')
    sold = ids(shop, 'INSERT INTO "Orders" (customer, net) VALUES (1, 3) RETURNING id')
    _snapshot.create(target, str(later), OPTIONS)
    _restore.restore(target, target, str(later), "other", jobs, OPTIONS)
    _swap.swap(target, target, "other", "failed_before")
    sold |= ids(shop, 'INSERT INTO "Orders" (customer, net) VALUES (1, 3) RETURNING id')
    _swap.swap(target, target, "copy", "failed")
    done = call(shop, path, updates=True, review_file=str(review))
    assert sold <= ids(shop, 'SELECT id FROM "Orders"')
    assert ids(shop, "SELECT what FROM wishes") == {"a pony"}
    assert ids(shop, "SELECT name FROM _ecommus_core_migrations") == {"0001"}
    assert done["totals"]["by_migration"] == 0
    kept = [(line["table"], line["row"]) for line in lines(review)]
    assert [row["id"] for table, row in kept if table == "public.customers"] == [3]
    assert len([row for table, row in kept if table == "public.payments"]) == 11


def test_migrations_that_share_a_transaction_are_migrations(pg_database: Shop, target: Target, tmp_path: Path) -> None:
    path = tmp_path / "pre.dump"
    snapshot(target, path)
    with pg_database.connect() as connection, connection.transaction():
        connection.execute("INSERT INTO _ecommus_core_migrations (name) VALUES ('0002'), ('0003'); INSERT INTO flags VALUES ('new', '{}')")
    _swap.swap(target, target, "copy", "failed")
    assert call(pg_database, path)["totals"]["by_migration"] == 1
    assert ids(pg_database, "SELECT name FROM flags") == {"old", "gone", "stays"}


def test_what_no_longer_fits_is_kept_for_review(pg_database: Shop, target: Target, tmp_path: Path) -> None:
    shop, path, review = pg_database, tmp_path / "pre.dump", tmp_path / "review.jsonl"
    snapshot(target, path)
    with shop.connect() as connection:
        connection.execute("ALTER TABLE customers RENAME COLUMN email TO mail; INSERT INTO customers (mail) VALUES ('new@x')")
        connection.execute('INSERT INTO "Orders" (customer, net) SELECT max(id), 5 FROM customers')
        connection.execute("CREATE TABLE wishes (what text); INSERT INTO wishes VALUES ('a pony')")
        connection.execute(
            "INSERT INTO audit.log VALUES ('kept'); INSERT INTO events VALUES ('2026-07-01', 'x'); DELETE FROM events WHERE what = 'e1'"
        )
    _swap.swap(target, target, "copy", "failed")
    done = call(shop, path, review_file=str(review))
    assert {name: table["not_transferable"] for name, table in done["tables"].items()} == {
        **{"public.customers": 1, "public.Orders": 1, "public.wishes": 1, "public.events_2026": 1, "audit.log": 0}
    }
    kept = {line["table"]: line for line in lines(review)}
    assert kept["public.customers"]["row"]["mail"] == "new@x" and "email" in kept["public.customers"]["reason"]
    assert "violates foreign key" in kept["public.Orders"]["reason"] and kept["public.wishes"]["row"] == {"what": "a pony"}
    assert "no key" in kept["public.events_2026"]["reason"]
    assert done["tables"]["audit.log"]["inserted"] == 1
    assert not call(shop, path)["changed"]


def test_a_lock_is_no_row_that_is_refused(pg_database: Shop, target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Taken for one, each row would wait for it in turn, and all of them would end in the review file."""
    monkeypatch.setattr(_postgres, "_LOCK_TIMEOUT_S", 1)
    path = tmp_path / "pre.dump"
    snapshot(target, path)
    with pg_database.connect() as connection:
        connection.execute("INSERT INTO flags SELECT 'new ' || n, '1' FROM generate_series(1, 40) n")
    _swap.swap(target, target, "copy", "failed")
    with pg_database.connect() as holder:
        holder.execute("BEGIN; LOCK TABLE flags IN SHARE MODE")
        began = time.monotonic()
        with pytest.raises(EcommusError, match=r"lock timeout.*end the session that holds the lock"):
            _salvage.salvage(target, "failed", str(path), _salvage.Wish(replay=True))
        assert time.monotonic() - began < 10, "one limit, and not one for each row"
        holder.execute("ROLLBACK")
    assert call(pg_database, path)["totals"]["inserted"] == 40


def test_nothing_to_do_and_off(pg_database: Shop, target: Target, tmp_path: Path) -> None:
    path = tmp_path / "pre.dump"
    snapshot(target, path)
    _swap.swap(target, target, "copy", "failed")
    done = call(pg_database, path)
    assert not done["changed"] and done["tables"] == {} and done["sequences"] == {}
    assert call(pg_database, path, mode="off") == {"changed": False}
    missing = call(pg_database, path, failed_database="nothing")
    assert missing["failed"] and "nothing" in missing["msg"]
    for check in (True, False):
        early = call(pg_database, path, replacement="failed", _ansible_check_mode=check)
        assert early["failed"] and "before the databases are exchanged" in early["msg"]
    assert "is the live database" in call(pg_database, path, mode="report", replacement=pg_database.database)["msg"]
    without = call(pg_database, None, updates=True)
    assert not without["changed"]
