"""The filter that finds slips of the pen among the names of variables."""

from __future__ import annotations

import pytest
from ansible_collections.mdlabs.ecommus.plugins.filter.unknown_variables import known, unknown_variables


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("ecommus_domian", "ecommus_domain"),
        ("ecommus_pm_home", "ecommus_pm2_home"),
        ("ecommus_worker_process", "ecommus_workers_process"),
        ("ecommus_db_url_key", "ecommus_database_url_key"),
        ("upgrade_waiver", "upgrade_waivers"),
        ("rollback_dta", "rollback_data"),
        # The prefix is what was mistaken.
        ("ecommus_waivers", "upgrade_waivers"),
        ("upgrade_layout", "ecommus_layout"),
        ("ecommus_version", "upgrade_version"),
    ],
)
def test_a_slip_is_told_with_the_name_that_was_meant(name: str, meant: str) -> None:
    assert unknown_variables([name]) == [f"{name} is not a variable of this collection. Remedy: did you mean {meant}?"]


@pytest.mark.parametrize("name", ["ecommus_colour", "upgrade_reboot", "rollback_x", "ecommus_"])
def test_what_is_like_none_is_refused_with_the_way_out(name: str) -> None:
    (sentence,) = unknown_variables([name])
    assert sentence.endswith(f"ecommus_extra_variables: [{name}]")
    assert unknown_variables([name], [name]) == []


def test_patterns_of_names_of_ones_own() -> None:
    assert unknown_variables(["upgrade_os_reboot", "upgrade_os_kernel"], ["upgrade_os_*"]) == []
    assert len(unknown_variables(["upgrade_os_reboot", "upgrade_db"], ["upgrade_os_*"])) == 1


def test_options_of_all_roles_and_names_of_others_pass() -> None:
    assert {"ecommus_domain", "upgrade_waivers", "rollback_data", "ecommus_hosts", "ecommus_strategy"} <= known().options
    assert unknown_variables([*known().options, *known().constants, "my_ecommus_thing", "upgrades", "ansible_host", "version"]) == []


def test_what_a_role_keeps_is_its_own_before_it_has_run_and_known_after() -> None:
    assert len(unknown_variables(["upgrade_pending", "rollback_journal"])) == 2
    assert unknown_variables(["upgrade_pending", "rollback_journal", "install_run_id"]) == []
    assert len(unknown_variables(["upgrade_pendign", "install_run_id"])) == 1
