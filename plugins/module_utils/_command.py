# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The only place where the library starts a program: argument lists, a deadline, secrets scrubbed from what it says."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import signal
import subprocess
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError

# What a program needs from the caller's environment to run at all. Everything else is named by the caller: the
# deploy shell's variables must not leak into a shop (pm2 stores the whole environment that it is started with).
_KEPT = (
    *("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS", "NODE_USE_SYSTEM_CA"),
)
_NETWORK = re.compile(r"(https?_proxy|no_proxy|npm_config_\w+)", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Result:
    """What a program answered. ``output`` is stdout and ``error`` stderr, both decoded and with secrets replaced."""

    argv: tuple[str, ...]
    code: int
    output: str
    error: str

    def tail(self, lines: int = 15) -> str:
        """The last *lines* lines that it printed, stderr after stdout: what a report should quote."""
        text = "\n".join(part.strip("\n") for part in (self.output, self.error) if part.strip())
        return "\n".join(text.splitlines()[-lines:])


def clean_environment(
    extra: t.Mapping[str, str] | None = None, path_prefix: t.Sequence[str] = (), *, network: bool = False
) -> dict[str, str]:
    """The environment for a program: the few variables every program needs, then *extra*.

    :param path_prefix: directories put in front of PATH, such as the one of the shop's own node.
    :param network: also what the host's administrator set for reaching package registries: proxies and npm's settings.
    """
    env = {name: value for name, value in os.environ.items() if name in _KEPT or (network and _NETWORK.fullmatch(name))}
    env["PATH"] = os.pathsep.join([*path_prefix, env.get("PATH", os.defpath)])
    env.update(extra or {})
    return env


def scrub(text: str, secrets: t.Iterable[str]) -> str:
    """*text* with every one of *secrets* replaced by ``***``; values under four characters are left, they match anything."""
    for secret in sorted({s for s in secrets if s and len(s) >= 4}, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def run(
    argv: t.Sequence[str],
    *,
    env: t.Mapping[str, str] | None = None,
    cwd: str | None = None,
    timeout: float,
    secrets: t.Iterable[str] = (),
    stdin: str | int | None = None,
    niceness: int = 0,
) -> Result:
    """Run *argv* to its end and return what it said; the exit code is the caller's to judge.

    :param env: the whole environment; see :func:`clean_environment`.
    :param stdin: a text, or a file descriptor to read from.
    :param timeout: seconds; after it the program and all that it started are killed.
    :param niceness: how far it steps back behind the other processes of the host, as nice(1).
    :raises EcommusError: when the program is missing or did not end in time.
    """
    name = os.path.basename(argv[0])
    try:
        # Not AnsibleModule.run_command: the library knows no module, and must end all that a program has started.
        with subprocess.Popen(  # pylint: disable=ansible-bad-function
            list(argv),
            env=dict(env) if env is not None else clean_environment(),
            cwd=cwd,
            stdin=subprocess.DEVNULL if stdin is None else stdin if isinstance(stdin, int) else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            encoding="utf-8",
            errors="replace",
        ) as process:
            try:
                if niceness:
                    # Not in the child before it starts (preexec_fn): that may hang where threads run.
                    with contextlib.suppress(ProcessLookupError):
                        os.setpriority(os.PRIO_PROCESS, process.pid, niceness)
                output, error = process.communicate(stdin if isinstance(stdin, str) else None, timeout=timeout)
            except subprocess.TimeoutExpired:
                _kill_group(process)
                raise EcommusError(
                    f"{name} did not end within {timeout:.0f} s and was killed",
                    "look at what it waits for (locks, network, disk), or raise the time limit",
                    command=scrub(" ".join(argv), secrets),
                ) from None
            except BaseException:
                _kill_group(process)
                raise
    except FileNotFoundError as missing:
        what = cwd if cwd is not None and missing.filename == cwd else argv[0]
        raise EcommusError(f"{what} does not exist on this host", f"install {name}, or correct the path in the inventory") from None
    except PermissionError:
        raise EcommusError(f"{argv[0]} may not be run by this user", "correct its mode or run as the user that owns the shop") from None
    return Result(tuple(argv), process.returncode, scrub(output, secrets), scrub(error, secrets))


def _kill_group(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
