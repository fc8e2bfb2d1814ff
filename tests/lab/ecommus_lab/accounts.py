"""Two users of the operating system, as a careful operator has them: one logs in, the other owns the shops.

Only root can make them, and only where everybody may reach the lab's directory; elsewhere a lab does without.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import processes
from .config import REPO, LabConfig, LabError

# What users are told to install as /etc/sudoers.d/ecommus; the lab has the same rules for its own two users.
RULES = REPO / "docs/sudoers.d-ecommus"
RULES_FOR = ("deploy", "ecommus")  # the two users that the file speaks of
SUDOERS = Path("/etc/sudoers.d")
# With the libraries that docs/requirements.md asks for. The lab's own Python may lie in a home that nobody else can enter.
PYTHON = "/usr/bin/python3"
LIBRARIES = "import requests, psycopg"


@dataclass(frozen=True)
class Account:
    """A user of this machine."""

    name: str
    uid: int
    gid: int
    home: str

    @property
    def environment(self) -> dict[str, str]:
        """What a login would set."""
        return {"HOME": self.home, "USER": self.name, "LOGNAME": self.name}


class Accounts:
    """The deploy user, who logs in, and the owner of the shops, whom the deploy user may become."""

    def __init__(self, config: LabConfig) -> None:
        self.config = config
        # The port keeps the labs of one machine apart.
        self.names = (f"ecommus-lab-deploy-{config.port}", f"ecommus-lab-shop-{config.port}")
        self.rules = SUDOERS / f"ecommus-lab-{config.port}"
        self.homes = config.run / "home"

    def unavailable(self) -> str | None:
        """Why there can be no such users here, or ``None``."""
        if os.geteuid() != 0:
            return "only root can make the deploy user"
        for program in ("sudo", "visudo", "useradd", "userdel"):
            if shutil.which(program) is None:
                return f"{program} is not installed"
        if "NoNewPrivs:\t1" in Path("/proc/self/status").read_text():
            return "sudo is of no effect in this container (no_new_privs)"
        if not _works([PYTHON, "-c", LIBRARIES]):
            return f"{PYTHON} has no requests or no psycopg"
        home = self.config.home
        closed = [path for path in (home, *home.parents) if path.exists() and not path.stat().st_mode & 0o001]
        if closed:
            return f"{closed[-1]} is closed to other users: set ECOMMUS_LAB_HOME to a place that is not"
        return None

    def create(self, readable: Path) -> tuple[Account, Account]:
        """Makes both users, and the rules by which the first may become the second.

        :param readable: the vendor's repository, which belongs to another user than the one who fetches from it.
        :raises LabError: a user of that name exists, or the rules are refused.
        """
        self.homes.mkdir(parents=True)
        deploy, owner = (self._create(name) for name in self.names)
        Path(owner.home, ".gitconfig").write_text(f"[safe]\n\tdirectory = {readable}\n")
        Path(owner.home, ".npmrc").write_text(_npm_settings())
        give(Path(owner.home), owner)
        self._allow(deploy, owner)
        return deploy, owner

    def remove(self) -> None:
        """Ends what the two still run, and takes them off the machine again."""
        if os.geteuid() != 0:
            return
        self.rules.unlink(missing_ok=True)
        for name in self.names:
            account = self._find(name)
            if account is not None and account.home == str(self.homes / name):
                processes.end(_processes_of(account.uid))
                _run(["userdel", name])
        shutil.rmtree(self.homes, ignore_errors=True)

    def _create(self, name: str) -> Account:
        if self._find(name) is not None:
            raise LabError(f"the user {name} exists: end the lab that it is of, or remove it (userdel {name})")
        # No password, but not locked either: without PAM, sshd refuses a locked account also with a key.
        _run(["useradd", "--create-home", "--home-dir", str(self.homes / name), "--shell", "/bin/sh", "--password", "*", name])
        account = self._find(name)
        if account is None:
            raise LabError(f"useradd made no user {name}")
        return account

    @staticmethod
    def _find(name: str) -> Account | None:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            return None
        return Account(name, entry.pw_uid, entry.pw_gid, entry.pw_dir)

    def _allow(self, deploy: Account, owner: Account) -> None:
        names = dict(zip(RULES_FOR, (deploy.name, owner.name)))
        rules = [line for line in RULES.read_text().splitlines(keepends=True) if not line.startswith("#")]
        partial = self.homes / "sudoers"
        partial.write_text(re.sub(rf"\b({'|'.join(names)})\b", lambda found: names[found[0]], "".join(rules)))
        partial.chmod(0o440)
        # Before it lies where sudo reads it: a file that it cannot read keeps everybody from using it.
        _run(["visudo", "--check", "--quiet", "--file", str(partial)])
        shutil.move(partial, self.rules)
        if not _works(["sudo", "-n", "-u", owner.name, "/bin/sh", "-c", "true"], user=deploy.uid, group=deploy.gid, extra_groups=[]):
            raise LabError(f"sudo does not follow {self.rules}: does /etc/sudoers have `@includedir {SUDOERS}`?")


def give(path: Path, owner: Account | None) -> None:
    """Hands a tree over to its owner, links themselves and not what they lead to."""
    if owner is not None:
        _run(["chown", "--recursive", "--no-dereference", f"{owner.uid}:{owner.gid}", str(path)])


def _npm_settings() -> str:
    """What this machine needs to reach the public registry; an owner's shell has none of our environment."""
    names = {
        "ssl_cert_file": "cafile",
        "node_extra_ca_certs": "cafile",
        "http_proxy": "proxy",
        "https_proxy": "https-proxy",
        "no_proxy": "noproxy",
    }
    given = {name.lower(): value for name, value in os.environ.items()}
    found = {names[name]: value for name, value in given.items() if name in names}
    found |= {name.removeprefix("npm_config_").replace("_", "-"): value for name, value in given.items() if name.startswith("npm_config_")}
    found.pop("cache", None)  # each user's own
    return "".join(f"{name}={value}\n" for name, value in found.items())


def _processes_of(uid: int) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if entry.stat().st_uid == uid:
                found.append(int(entry.name))
        except FileNotFoundError:
            continue
    return found


def _works(command: list[str], **other: Any) -> bool:
    return subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=30, check=False, **other).returncode == 0


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60, check=False)
    if done.returncode:
        raise LabError(f"{' '.join(command[:2])} failed: {(done.stderr or done.stdout).strip()}")
