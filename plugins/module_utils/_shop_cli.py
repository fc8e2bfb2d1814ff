# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running the TypeScript programs that a release brings for its operators."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils import _dotenv
from ansible_collections.mdlabs.ecommus.plugins.module_utils._command import Result, clean_environment, run
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError

LIST_PLUGINS = "apps/api/src/cli/list-plugins.ts"


def run_script(
    root: str,
    script: str,
    *,
    variables: t.Mapping[str, str],
    database_url: str,
    database_url_key: str = "DATABASE_URL",
    path_prefix: t.Sequence[str] = (),
    application: str = "ecommus-upgrade",
    timeout: float,
) -> Result:
    """Run *script* of the release at *root* as the documented procedure does; the exit code is the caller's to judge.

    The programs read the shop's environment file themselves. Only the database is told to them as well, so that it is
    certainly the one that we look into; a variable of the environment goes before one of the file.

    :param variables: the shop's environment file, for what must not appear in the output.
    :param application: what the server shows as the program's name, where its driver takes PGAPPNAME.
    :raises EcommusError: when the program could not be run at all.
    """
    if not os.path.isfile(os.path.join(root, script)):
        raise EcommusError(f"{root} has no {script}", "check root: it must be a checkout of a release with its dependencies installed")
    env = clean_environment({"PGAPPNAME": application, **({database_url_key: database_url} if database_url else {})}, path_prefix)
    secrets = _dotenv.secrets({**variables, database_url_key: database_url})
    result = run(["node", "--experimental-strip-types", script], env=env, cwd=root, timeout=timeout, secrets=secrets)
    # Node's exit code for an option that it does not know: nodejs.org/api/process.html, "Exit codes", 9.
    if result.code == 9 and "experimental-strip-types" in result.error:
        raise EcommusError(
            "node on this host is too old to run TypeScript", "install Node 22.6 or newer, or name its directory in path_prefix"
        )
    if result.code != 0 and "ERR_MODULE_NOT_FOUND" in result.error:
        raise EcommusError(f"{script} does not find its modules", "run npm ci in the release first", log=result.tail())
    return result


def list_plugins(
    root: str,
    script: str = LIST_PLUGINS,
    *,
    variables: t.Mapping[str, str],
    database_url: str = "",
    database_url_key: str = "DATABASE_URL",
    path_prefix: t.Sequence[str] = (),
    timeout: float = 120,
) -> str:
    """What the shop's own program prints about its plugins.

    :param variables: the shop's environment file, which names the database unless *database_url* does.
    :raises EcommusError: when it fails or prints nothing.
    """
    result = run_script(
        root,
        script,
        variables=variables,
        database_url=database_url or variables.get(database_url_key, ""),
        database_url_key=database_url_key,
        path_prefix=path_prefix,
        timeout=timeout,
    )
    if result.code != 0 or not result.output.strip():
        problem = f"failed with exit code {result.code}" if result.code else "printed nothing"
        raise EcommusError(f"{script} {problem}", "run it by hand in the checkout and mend what it says", log=result.tail())
    return result.output
