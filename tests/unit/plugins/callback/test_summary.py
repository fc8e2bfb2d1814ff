"""The table at the end of a run, from recorded reports and from a real ansible-playbook."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible_collections.mdlabs.ecommus.plugins.callback.summary import CallbackModule, notes, row, table

ROOT = Path(__file__).parents[4]
UPGRADED = {
    "host": "alpha.example",
    "operation": "upgrade",
    "outcome": "upgraded",
    "from_version": "v1.3.2",
    "to_version": "v1.4.0",
    "seconds": 192.4,
    "change_window_seconds": 12.44,
    "requests": 3841,
    "requests_failed": 0,
    "services": {"api": {"requests": 960, "failed": 0, "longest_gap_ms": 0}},
    "snapshot": "/var/backups/ecommus/v1.3.2.dump",
    "report": "/tmp/runs/1/report.md",
    "remedy": "",
}
ROLLED_BACK = {
    **UPGRADED,
    "host": "beta.example",
    "outcome": "rolled_back",
    "requests_failed": 3,
    "services": {"storefront": {"requests": 960, "failed": 3, "longest_gap_ms": 740.2}},
    "remedy": "the release hangs at boot: " + "look at its log and " * 8 + "try again",
}
REFUSED = {"host": "gamma.example", "operation": "upgrade", "outcome": "refused", "from_version": "v1.4.0", "to_version": "v9.9.9"}


class Display:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.colors: dict[str, str | None] = {}

    def banner(self, text: str) -> None:
        self.lines.append(text)

    def display(self, text: str, color: str | None = None) -> None:
        self.lines.append(text)
        self.colors[text.partition(" ")[0]] = color


def printed(*results: dict) -> Display:
    callback = CallbackModule()
    callback._display = Display()
    for result in results:
        callback.v2_runner_on_ok(SimpleNamespace(result=result, host=SimpleNamespace(get_name=lambda: "from-inventory")))
    callback.v2_playbook_on_stats(None)
    return callback._display


def test_columns_are_aligned_and_fit_the_screen():
    lines = table([UPGRADED, ROLLED_BACK, REFUSED, {**UPGRADED, "host": "a-very-long-host-name." * 4}])
    assert lines[0].split() == ["host", "outcome", "from", "to", "minutes", "change", "window", "requests", "failed"]
    assert all(len(line) <= 100 for line in lines)
    assert {line.index("v1.") for line in lines[1:]} == {lines[0].index("from")}
    assert lines[1].endswith("0 of 3841")
    assert lines[2].endswith("3 of 3841")


def test_what_was_not_measured_is_a_dash():
    assert row(UPGRADED) == ["alpha.example", "upgraded", "v1.3.2", "v1.4.0", "3.2", "12.4 s", "0 of 3841"]
    assert row(REFUSED) == ["gamma.example", "refused", "v1.4.0", "v9.9.9", "-", "-", "-"]
    assert row({}) == ["-"] * 7


def test_evidence_and_remedy_stand_below():
    assert notes(UPGRADED) == ["    snapshot  /var/backups/ecommus/v1.3.2.dump", "    report    /tmp/runs/1/report.md"]
    lines = notes(ROLLED_BACK)
    assert lines[0] == "    storefront: 3 of 960 requests failed, longest gap 740 ms"
    assert lines[3].startswith("    remedy    the release hangs")
    assert len(lines) > 4
    assert all(len(line) <= 100 for line in lines)
    assert notes(REFUSED) == []


def test_summary_of_a_run():
    display = printed({"ecommus_report": UPGRADED}, {"changed": True}, {"ecommus_report": ROLLED_BACK}, {"ecommus_report": REFUSED})
    assert display.lines[0] == "SHOPS"
    assert [line.split()[0] for line in display.lines if line.startswith(("alpha", "beta", "gamma"))] == [
        "alpha.example",
        "beta.example",
        "gamma.example",
    ]
    assert len({display.colors[name] for name in ("alpha.example", "beta.example", "gamma.example")}) == 3


def test_last_word_on_a_shop_counts():
    display = printed({"ecommus_report": {**UPGRADED, "outcome": "failed"}}, {"ecommus_report": UPGRADED})
    assert sum("alpha.example" in line for line in display.lines) == 1
    assert not any("failed " in line for line in display.lines[2:])


def test_host_comes_from_the_inventory_when_the_report_names_none():
    report = {key: value for key, value in UPGRADED.items() if key != "host"}
    assert any(line.startswith("from-inventory") for line in printed({"ecommus_report": report}).lines)


def test_nothing_is_printed_without_a_report():
    assert printed({"changed": True}, {"ecommus_report": None}).lines == []


@pytest.mark.parametrize("color", [False, True])
def test_real_run(tmp_path: Path, color: bool):
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "report.py").write_text(
        "from ansible.module_utils.basic import AnsibleModule\n"
        "m = AnsibleModule(dict(report=dict(type='dict')))\n"
        "m.exit_json(ecommus_report=m.params['report'])\n"
    )
    play = [{"hosts": "all", "gather_facts": False, "tasks": [{"report": {"report": {**UPGRADED, "host": "{{ inventory_hostname }}"}}}]}]
    (tmp_path / "play.yml").write_text(json.dumps(play))
    environment = {
        **os.environ,
        "ANSIBLE_CALLBACKS_ENABLED": "mdlabs.ecommus.summary",
        # In a checkout, and where ansible-test has the collection.
        "ANSIBLE_COLLECTIONS_PATH": os.pathsep.join([str(ROOT / "playbooks/collections"), str((ROOT / "../../..").resolve())]),
        "ANSIBLE_NOCOLOR": "0" if color else "1",
        "ANSIBLE_FORCE_COLOR": "1" if color else "0",
        "ANSIBLE_LOCALHOST_WARNING": "0",
    }
    # Beside this Python, or where ansible-test puts it: its Python has no packages to be asked with -m.
    playbook = shutil.which("ansible-playbook", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    assert playbook
    process = subprocess.run(
        [playbook, "-i", "one,two", "-c", "local", "-e", f"ansible_python_interpreter={sys.executable}", "play.yml"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    summary = process.stdout[process.stdout.index("SHOPS") :]
    assert [line.split()[0].split("m")[-1] for line in summary.splitlines() if "0 of 3841" in line] == ["one", "two"]
    assert ("\x1b[" in summary) is color
    assert "summary" not in process.stderr
