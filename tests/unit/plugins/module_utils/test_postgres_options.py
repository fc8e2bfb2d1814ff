# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._postgres import Target
from ansible_collections.mdlabs.ecommus.plugins.module_utils._postgres_options import targets_of

SHOP, ADMIN = "postgresql://shop:p@h/d", "postgresql://root:q@h/postgres"


@pytest.fixture
def given(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / ".env").write_text(f"DATABASE_URL={SHOP}\nEMPTY=\n")
    return {"env_file": str(tmp_path / ".env"), "database_url_key": "DATABASE_URL", "database_url": None, "admin_url": None}


def test_the_shops_access_is_the_one_for_everything_unless_there_is_another(given: dict[str, Any]) -> None:
    shop, admin = Target.from_url(SHOP), Target.from_url(ADMIN)
    assert targets_of(given) == (shop, shop)
    assert targets_of({**given, "admin_url": ADMIN}) == (shop, admin)
    assert targets_of({**given, "database_url": ADMIN, "env_file": "/none"}) == (admin, admin)


@pytest.mark.parametrize("key", ["EMPTY", "OTHER"])
def test_a_file_without_the_address_is_named(given: dict[str, Any], key: str) -> None:
    with pytest.raises(EcommusError) as caught:
        targets_of({**given, "database_url_key": key})
    assert caught.value.message == f"{given['env_file']} has no {key}"
    assert "database_url_key" in caught.value.remedy
