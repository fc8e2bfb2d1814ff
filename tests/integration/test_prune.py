# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""prune on a real server and real directories: what goes is gone, what stays is there, and a refusal stops nothing else."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import documented
import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils._journal import Journal
from ansible_collections.mdlabs.ecommus.plugins.modules import prune
from postgres_cluster import PASSWORD, Cluster, Shop
from psycopg import sql

pytestmark = pytest.mark.postgres


def moment(days_ago: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - days_ago * 86400))


class Install:
    """Four releases, of which v1.3.0 is live; three upgrades, the last one eight days ago."""

    def __init__(self, home: Path, shop: Shop) -> None:
        self.home, self.shop = home, shop
        self.base, self.root, self.backup = home / "shop.d", home / "shop", home / "backup"
        self.state = self.base / "state"
        self.backup.mkdir()
        self.commits = {version: self.release(version) for version in ("v1.0.0", "v1.1.0", "v1.2.0", "v1.3.0")}
        (self.base / "current").symlink_to(self.directory("v1.3.0"))
        self.root.symlink_to("shop.d/current")
        journal = Journal(str(self.state))
        steps = zip(["v1.0.0", "v1.1.0", "v1.2.0"], ["v1.1.0", "v1.2.0", "v1.3.0"], [60, 20, 8])
        journal.runs = [self.run(f"run{number}", *step) for number, step in enumerate(steps)]
        journal.save()
        (self.backup / "regular.dump").write_text("the operator's own")
        (self.state / "runs" / "stranger").mkdir()

    def directory(self, version: str) -> Path:
        return self.base / "releases" / f"{version}-{self.commits[version][:8]}" if version in self.commits else self.base

    def release(self, version: str) -> str:
        made = self.base / "releases" / version
        made.mkdir(parents=True)
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        for words in (["init", "-q"], [*identity, "commit", "-q", "--allow-empty", "-m", version], ["tag", version]):
            subprocess.run(["git", *words], cwd=made, check=True, timeout=30)
        commit = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=made, check=True, capture_output=True, text=True, timeout=30
        ).stdout.strip()
        (made / "package").write_bytes(b"x" * 100_000)
        marker = made / ".ecommus-release.json"
        marker.write_text(json.dumps({"version": version, "commit": commit, "prepared": "built"}))
        os.utime(marker, (time.time() - 60 * 86400,) * 2)
        made.rename(made.with_name(f"{version}-{commit[:8]}"))
        return commit

    def run(self, run_id: str, source: str, target: str, days_ago: float) -> dict[str, Any]:
        """A run that succeeded, with everything that it may have left."""
        path = self.backup / f"{run_id}.dump"
        path.write_bytes(b"d" * 5000)
        path.with_name(f"{run_id}.manifest.json").write_text(json.dumps({"format": 1, "size": 5000}))
        path.with_name(f"{run_id}.review.jsonl").write_text("an order\n")
        (self.base / f"env.before-{run_id}").write_text("A=1\n")
        (self.state / "runs" / run_id).mkdir(parents=True)
        (self.state / "runs" / run_id / "migrations.log").write_text("all\n")
        names = {"standby_database": f"shop_before_{run_id}", "kept_database": f"shop_failed_{run_id}"}
        with self.shop.connect("postgres") as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(names["standby_database"])))
        ends = {end: {"version": version, "commit": self.commits[version]} for end, version in (("from", source), ("to", target))}
        when = {"started": moment(days_ago), "finished": moment(days_ago)}
        facts = {**names, "snapshot": {"path": str(path)}}
        return {"id": run_id, "operation": "upgrade", "outcome": "succeeded", **when, "phases": [], "facts": facts, **ends}

    def prune(self, **changes: Any) -> dict[str, Any]:
        """Run the module as Ansible does; no secret may be in anything that it says."""
        places = {"root": str(self.root), "state_dir": str(self.state), "snapshot_dir": str(self.backup)}
        done = subprocess.run(
            [sys.executable, prune.__file__],
            input=json.dumps({"ANSIBLE_MODULE_ARGS": {"database_url": self.shop.url, **places, **changes}}),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert done.stdout, done.stderr
        assert PASSWORD not in done.stdout
        result: dict[str, Any] = json.loads(done.stdout)
        documented.check("prune", result)
        return result

    def tree(self) -> set[str]:
        """Every file and directory but git's, and every database."""
        files = {str(path.relative_to(self.home)) for path in self.home.rglob("*") if ".git" not in path.parts}
        return files | self.shop.cluster.databases()


@pytest.fixture
def install(tmp_path: Path, pg_database: Shop) -> Iterator[Install]:
    with pg_database.connect("postgres") as connection:
        connection.execute("CREATE DATABASE shop_failed_run9")  # looks like ours, but no run names it
        connection.execute("CREATE DATABASE shop_failed_run1")
    yield Install(tmp_path, pg_database)


def names(result: dict[str, Any], key: str) -> set[str]:
    return {each["name"].rpartition("/")[2] for each in result[key]}


def test_prunes_what_nobody_goes_back_to(install: Install) -> None:
    old, before = (install.directory(version).name for version in ("v1.0.0", "v1.2.0"))
    untouched = install.tree()
    predicted = install.prune(keep_runs=2, _ansible_check_mode=True)
    assert predicted["changed"] and install.tree() == untouched

    done = install.prune(keep_runs=2)
    assert done["changed"] and not done["errors"]
    assert (done["removed"], done["bytes_freed"], done["diff"]) == (predicted["removed"], predicted["bytes_freed"], predicted["diff"])
    databases = {"shop_before_run0", "shop_before_run1", "shop_before_run2", "shop_failed_run1"}
    files = {"run0.dump", "run1.dump", "env.before-run0", "env.before-run1", "run0"}
    assert names(done, "removed") == databases | files | {old, install.directory("v1.1.0").name}
    assert done["bytes_freed"] > 200_000
    assert done["bytes_kept"] > 100_000
    assert "rollback_available_until" not in done  # the last upgrade is eight days old

    left = install.tree()
    removed = {name for name in untouched - left if "/" not in name}
    assert removed == databases
    assert left >= {install.shop.database, "shop_failed_run9", "backup/regular.dump", "backup/run2.dump", "backup/run2.manifest.json"}
    assert left >= {f"shop.d/releases/{before}/package", "shop.d/env.before-run2", "shop.d/state/runs/stranger", "backup/run0.review.jsonl"}
    assert not {name for name in left if old in name or "run0.dump" in name or "run0.manifest" in name or name.endswith(".removed")}
    again = install.prune(keep_runs=2)
    assert not again["changed"] and install.tree() == left


def test_within_the_window_the_last_way_back_stays(install: Install) -> None:
    done = install.prune(rollback_window_days=9)
    assert names(done, "removed") >= {"shop_before_run0", "shop_before_run1"}
    assert "shop_before_run2" in install.shop.cluster.databases()
    finished = datetime.datetime.strptime(Journal.load(str(install.state)).runs[-1]["finished"], "%Y-%m-%dT%H:%M:%SZ")
    assert done["rollback_available_until"] == (finished + datetime.timedelta(days=9)).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_one_that_is_used_stays_and_one_that_is_refused_stops_nothing(install: Install) -> None:
    with install.shop.cluster.connect() as connection:
        connection.execute("ALTER DATABASE shop_before_run0 OWNER TO postgres")
    program = subprocess.Popen(["sleep", "60"], cwd=install.directory("v1.0.0"))
    try:
        with install.shop.connect("shop_before_run1"):
            done = install.prune()
    finally:
        program.kill()
        program.wait(10)
    assert done["failed"] and names(done, "errors") == {"shop_before_run0"}
    assert "must be owner" in done["msg"] and done["remedy"]
    assert install.directory("v1.0.0").exists() and not install.directory("v1.1.0").exists()
    assert {"shop_before_run0", "shop_before_run1"} <= install.shop.cluster.databases()
    assert "run0.dump" in names(done, "removed")

    warned = install.prune(strict=False)
    assert not warned.get("failed") and any("must be owner" in str(warning) for warning in warned["warnings"])
    assert install.prune(admin_url=install.shop.cluster.url("postgres", "postgres"))["changed"]
    assert "shop_before_run0" not in install.shop.cluster.databases()


def test_without_the_server_the_files_are_pruned(install: Install, pg_server: Cluster) -> None:
    nowhere = install.shop.url.replace(f":{pg_server.port}/", ":1/")
    done = install.prune(database_url=nowhere, strict=False)
    assert not done.get("failed") and [each["name"] for each in done["errors"]] == ["*"]
    assert not install.directory("v1.0.0").exists()


def test_a_run_that_begins_meanwhile_keeps_what_it_needs(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal is read before anything is looked at; the run that begins while that takes place goes back to v1.0.0."""
    from ansible_collections.mdlabs.ecommus.plugins.module_utils import _layout, _postgres, _prune, _retention

    looked = _prune.look

    def look(*arguments: Any) -> Any:
        found = looked(*arguments)
        journal = Journal.load(str(install.state))
        target = {"version": "v1.0.0", "commit": install.commits["v1.0.0"]}
        journal.begin("run3", "rollback", {}, target, {"undoes": "run0"})
        journal.save()
        return found

    monkeypatch.setattr(_prune, "look", look)
    target = _postgres.Target.from_url(install.shop.url)
    places = (_layout.Paths(str(install.root), str(install.base)), str(install.state), str(install.backup))
    outcome = _prune.prune(_prune.Install(*places, target, target), _retention.Policy(datetime.timedelta(days=7), 10))
    assert {"shop_before_run1", "shop_before_run2"} <= {each.name for each in outcome.removed}
    assert "shop_before_run0" in install.shop.cluster.databases()
    assert install.directory("v1.0.0").exists() and (install.backup / "run0.dump").exists()
