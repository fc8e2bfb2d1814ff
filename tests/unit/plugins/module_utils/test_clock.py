# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import datetime

from ansible_collections.mdlabs.ecommus.plugins.module_utils import _clock


def test_the_time_is_that_of_utc_to_the_second() -> None:
    before = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    now = datetime.datetime.strptime(_clock.now(), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=datetime.timezone.utc)
    assert before <= now <= datetime.datetime.now(datetime.timezone.utc)
