# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which lines of a build's log an operator gets to see."""

from __future__ import annotations

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _npm

ESBUILD = """\
        ╵                                 ~~~~~~~~~~~~~~

/srv/shop/node_modules/esbuild/lib/main.js:1752
  let error = new Error(text);
              ^

Error: Build failed with 1 error:
src/app.ts:4:32: ERROR: Could not resolve "./metrics.ts"
    at failureErrorWithLog (/srv/shop/node_modules/esbuild/lib/main.js:1752:15)
    at addChunk (node:internal/streams/readable:561:12) {
  errors: [Getter/Setter],
  warnings: [Getter/Setter]
}

Node.js v22.20.0
npm error Lifecycle script `build` failed with error:
npm error code 1
"""


@pytest.mark.parametrize(
    ("log", "shown"),
    [
        (ESBUILD, ["Error: Build failed with 1 error:", 'src/app.ts:4:32: ERROR: Could not resolve "./metrics.ts"']),
        ("src/a.ts(1,7): error TS2304: Cannot find name 'x'.\nFound 1 error.\n", ["src/a.ts(1,7): error TS2304: Cannot find name 'x'."]),
        ("./page.js\nModule not found: Can't resolve './gone'\n\n> Build failed\n", ["Module not found: Can't resolve './gone'"]),
        ("same ERROR: x\nsame ERROR: x\n", ["same ERROR: x"]),
        ("one\ntwo\n\nthree\nfour\nfive\nnpm error code 2\n", ["two", "three", "four", "five"]),
        ("", []),
    ],
)
def test_the_lines_that_say_what_is_wrong(log: str, shown: list[str]) -> None:
    assert _npm.telling(log) == shown
