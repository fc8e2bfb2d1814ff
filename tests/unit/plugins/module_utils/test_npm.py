# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which lines of a build's log an operator gets to see, and how versions are compared."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _npm
from ansible_collections.mdlabs.ecommus.plugins.module_utils._command import Result
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._npm_diagnosis import Answer

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


def failed(output: str, error: str = "", code: int = 2) -> Result:
    return Result(("npm",), code, output, error)


TYPESCRIPT = "src/a.ts(1,7): error TS2304: x"
FULL = "write: No space left on device"


@pytest.mark.parametrize(
    ("results", "says", "remedy", "details"),
    [
        (
            [("api", failed(f"{TYPESCRIPT}\n"))],
            f"building api failed with exit code 2: {TYPESCRIPT}",
            "report the log to the vendor",
            {"workspaces": ["api"], "log": TYPESCRIPT},
        ),
        (
            [("api", failed("a\nb\nc\nd\ne\n")), ("web", failed("other"))],
            "building api, web failed with exit code 2: b | c | d | e",
            "the live shop is untouched",
            {"workspaces": ["api", "web"], "log": "a\nb\nc\nd\ne"},
        ),
        ([("api", failed("", "npm error ENOSPC"))], "the disk is full: building api failed", "free space", {"log": "npm error ENOSPC"}),
        ([("a", failed(FULL)), ("b", failed("x"))], "the disk is full: building a, b failed", "free space", {"log": FULL}),
        ([("api", failed("", "npm error No workspaces found:"))], "the release has no workspace api", "in the inventory", {}),
    ],
)
def test_a_build_that_failed_is_told_with_what_says_why(
    results: list[tuple[str, Result]], says: str, remedy: str, details: dict[str, Any]
) -> None:
    with pytest.raises(EcommusError) as caught:
        _npm._raise_build_error(results)
    assert caught.value.message == says
    assert remedy in caught.value.remedy
    assert caught.value.details == details


@pytest.fixture
def npm(tmp_path: Path) -> str:
    """A directory with an npm that notes what it is asked and where, knows one package, and cannot build ``@x/broken``."""
    program = tmp_path / "bin/npm"
    program.parent.mkdir()
    program.write_text(
        f"""#!/bin/sh
echo "$PWD $npm_config_fetch_retries ${{NPM_REGISTRY_TOKEN-none}} $*" >> {tmp_path}/asked
case "$*" in
  "view @x/known@1 "*) echo '"1"';;
  view*|ci) echo "npm error code E404" >&2; echo "$NPM_REGISTRY_TOKEN"; exit 1;;
  *broken*) echo "ERROR: it broke"; exit 3;;
  *) echo "built with s3cret-token"; echo err >&2;;
esac
"""
    )
    program.chmod(0o755)
    return str(program.parent)


def asked(tmp_path: Path) -> list[str]:
    return sorted((tmp_path / "asked").read_text().splitlines())


def test_workspaces_are_built_without_the_token(npm: str, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("NPM_REGISTRY_TOKEN=s3cret-token\n")
    (tmp_path / "logs").mkdir()
    given = {"path_prefix": [npm], "timeout": 60, "env_file": str(tmp_path / ".env"), "log_directory": str(tmp_path / "logs")}
    built = _npm.build(str(tmp_path), ["@x/api", "@x/web"], **given)
    seconds = [workspace.pop("seconds") for workspace in built]
    assert all(isinstance(each, float) and each == round(each, 1) and 0 <= each < 600 for each in seconds)
    assert built == [{"workspace": "@x/api"}, {"workspace": "@x/web"}]
    assert asked(tmp_path) == [f"{tmp_path} 2 none --workspace @x/{name} run build" for name in ("api", "web")]
    logs = {path.name: path.read_text() for path in (tmp_path / "logs").iterdir()}
    assert logs == dict.fromkeys(["build-x-api.log", "build-x-web.log"], "built with ***\nerr\n")
    with pytest.raises(EcommusError, match="building @x/broken failed with exit code 3: ERROR: it broke"):
        _npm.build(str(tmp_path), ["@x/api", "@x/broken"], jobs=1, path_prefix=[npm])


def test_packages_are_asked_for_with_the_token(npm: str, tmp_path: Path) -> None:
    answers = _npm.registry_answers(str(tmp_path), {"@x/known": "1", "@x/other": "2"}, token="t0ken", path_prefix=[npm])
    assert answers == {"@x/known": Answer("ok"), "@x/other": Answer("missing", "E404")}
    questions = [line.partition(" --cache ")[0] for line in asked(tmp_path)]
    assert questions == [f"{tmp_path} 2 t0ken view @x/{package} version --json" for package in ("known@1", "other@2")]


@pytest.mark.parametrize(("token", "used"), [("", "of-the-file"), ("given", "given")])
def test_packages_are_installed_with_the_token_of_the_shop(npm: str, tmp_path: Path, token: str, used: str) -> None:
    (tmp_path / ".env").write_text("NPM_REGISTRY_TOKEN=of-the-file\n")
    with pytest.raises(EcommusError, match="npm ci failed: the registry does not have what the release asks for") as caught:
        _npm.ci(str(tmp_path), token=token, env_file=str(tmp_path / ".env"), path_prefix=[npm])
    assert asked(tmp_path)[0] == f"{tmp_path} 2 {used} ci"
    assert caught.value.details["log"] == "***\nnpm error code E404"
    Path(npm, "npm").write_text("#!/bin/sh\n")
    _npm.ci(str(tmp_path), path_prefix=[npm])


def test_a_refusal_is_judged_by_the_licence_and_by_every_package_of_the_lock_file(npm: str, tmp_path: Path) -> None:
    program = Path(npm, "npm")
    program.write_text(program.read_text().replace("E404", "E403"))
    header, claims = (base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in (b"{}", b'{"expires_at": 1}'))
    (tmp_path / ".env").write_text(f"ECOMMUS_LICENSE_JWT={header}.{claims}.x\n")
    (tmp_path / "package-lock.json").write_text('{"packages": {"node_modules/@ecommus-plugin/sms": {"version": "1"}}}')
    causes = {}
    for token in ("", "given"):
        with pytest.raises(EcommusError) as caught:
            _npm.ci(str(tmp_path), token=token, env_file=str(tmp_path / ".env"), path_prefix=[npm])
        causes[token] = (caught.value.details["cause"], caught.value.details["packages"])
    assert causes == {"": ("token_missing", ["@ecommus-plugin/sms"]), "given": ("licence_expired", ["@ecommus-plugin/sms"])}


@pytest.mark.parametrize(("content", "lock"), [('{"packages": {}}', {"packages": {}}), ("[]", {}), ("{", {}), (None, {})])
def test_a_lock_file_that_cannot_be_read_names_no_package(tmp_path: Path, content: str | None, lock: dict[str, Any]) -> None:
    if content is not None:
        (tmp_path / "package-lock.json").write_text(content)
    assert _npm._lock(str(tmp_path)) == lock


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """A directory with an npm, and a node that answers with what it was asked for."""
    (tmp_path / "real").mkdir()
    for name in ("npm", "node"):
        (tmp_path / "real" / name).write_text(
            f"#!/bin/sh\nshift 2; printf '%s\\n' \"$@\" > {tmp_path}/asked\n"
            'case $3 in ">=1") echo true;; "<1") echo false;; odd) echo invalid;; *) echo "no semver" >&2; exit 1;; esac\n'
        )
        (tmp_path / "real" / name).chmod(0o755)
    (tmp_path / "bin").mkdir()
    for name in ("npm", "node"):
        (tmp_path / "bin" / name).symlink_to(f"../real/{name}")
    return tmp_path / "bin"


def test_ranges_are_judged_by_the_semver_of_npm(node: Path) -> None:
    assert _npm.semver_satisfies("1.2.0", ">=1", path_prefix=[str(node)]) is True
    assert (node.parent / "asked").read_text().splitlines() == [str(node.parent / "real/npm"), "1.2.0", ">=1"]
    assert _npm.semver_satisfies("1.2.0", "<1", path_prefix=[str(node)]) is False


@pytest.mark.parametrize(
    ("wanted", "says", "remedy", "details"),
    [
        ("odd", "'odd' is not a range of versions", "package.json of the release", {}),
        ("none", "npm on this host brings no semver package", "npm 8 or newer", {"log": "no semver"}),
    ],
)
def test_a_range_that_cannot_be_judged_is_told(node: Path, wanted: str, says: str, remedy: str, details: dict[str, str]) -> None:
    with pytest.raises(EcommusError) as caught:
        _npm.semver_satisfies("1.2.0", wanted, path_prefix=[str(node)])
    assert caught.value.message == says
    assert remedy in caught.value.remedy
    assert caught.value.details == details


def test_without_npm_nothing_can_be_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/none")
    with pytest.raises(EcommusError) as caught:
        _npm.semver_satisfies("1.2.0", ">=1")
    assert (caught.value.message, "path_prefix" in caught.value.remedy) == ("npm does not exist on this host", True)
