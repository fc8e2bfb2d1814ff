"""What the vendor gets to read when a release does not do what it should."""

from __future__ import annotations

import re
from pathlib import Path

from aftermath import OLD, Scene


def bug_report_of(scene: Scene, said: str, report: dict) -> str:
    """The file, which the error, the last screen and the report name."""
    path = Path(report["bug_report"])
    assert path.is_file()
    assert f"ready to send: {path}" in said
    assert f"to vendor {path}" in said
    text = path.read_text()
    assert scene.shop.secrets.database_password not in text
    return text


def test_core_migration_error(scene: Scene) -> None:
    """A type of the same name is there already, of the shop's own making."""
    with scene.shop.connect() as connection:
        connection.execute("CREATE TYPE return_status AS ENUM ('mine')")
    outcome = scene.upgrade()
    assert outcome.code != 0
    report = outcome.report(scene.name)
    assert "core migration 0006_order_returns failed" in report["problem"]
    text = bug_report_of(scene, outcome.said, report)
    assert text.startswith("# Migration 0006_order_returns of v1.4.0 failed\n")
    assert 'type "return_status" already exists' in text
    assert re.search(r"^\| From \| v1\.3\.2 \(commit [0-9a-f]{40}\) \|$", text, re.MULTILINE)
    assert re.search(r"^\| To \| v1\.4\.0 \(commit [0-9a-f]{40}\) \|$", text, re.MULTILINE)
    assert re.search(r"^\| Node\.js \| \d+\.\d+\.\d+ \|$", text, re.MULTILINE)
    ((server,),) = scene.shop.query("SHOW server_version")
    assert f"| PostgreSQL server | {server.split()[0]} |" in text
    assert re.search(r"^\| pm2 \| \d+\.\d+\.\d+ \|$", text, re.MULTILINE)
    assert "| core: 0007_order_channel | **expected, and missing** |" in text
    scene.serves(OLD, "rolled_back")
