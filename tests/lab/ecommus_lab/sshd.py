"""The lab's own SSH server, so that the playbooks reach the shops as they reach real hosts."""

from __future__ import annotations

import os
import pwd
import re
import subprocess
from pathlib import Path

from . import processes
from .config import LabConfig, user_name
from .tools import environment

SSHD = "/usr/sbin/sshd"
# Where Debian's sshd, run as root, confines its unprivileged half (sshd(8), FILES).
PRIVILEGE_SEPARATION = Path("/run/sshd")

SERVER = """\
ListenAddress 127.0.0.1
Port {port}
HostKey "{directory}/host_key"
AuthorizedKeysFile "{directory}/client_key.pub"
PidFile none
AuthenticationMethods publickey
AllowUsers {user}
PermitRootLogin prohibit-password
UsePAM no
StrictModes no
MaxStartups 100
MaxSessions 100
UseDNS no
PrintMotd no
PrintLastLog no
Subsystem sftp internal-sftp
SetEnv {environment}
"""
# What this machine needs to reach the package registries. A login over SSH starts without it, unlike a shell at the machine.
NETWORK = re.compile(r"(SSL_CERT_\w+|NODE_EXTRA_CA_CERTS|NODE_USE_SYSTEM_CA|https?_proxy|no_proxy|npm_config_\w+)", re.IGNORECASE)


def available() -> str | None:
    """Why this user cannot have an SSH server here, or ``None``."""
    if not os.access(SSHD, os.X_OK):
        return "OpenSSH's server is not installed"
    try:
        shell = pwd.getpwuid(os.getuid()).pw_shell
    except KeyError:
        return "this user has no account"
    if Path(shell).name in ("nologin", "false"):
        return f"this user's login shell is {shell}"
    return None


class Sshd:
    """An OpenSSH server on loopback that lets in one user, with one key: the given one, or the one that runs the lab."""

    def __init__(self, config: LabConfig, user: str | None = None) -> None:
        self.config = config
        self.user = user or user_name()
        self.directory = config.run / "ssh"
        self.key = self.directory / "client_key"
        self.home = self.directory / "home"
        self.own = user is None
        self.known_hosts = self.directory / "known_hosts"
        self.control = self.directory / "cp"
        self.log = self.directory / "sshd.log"
        self.pid_file = config.run / "pids/sshd.json"

    def create(self) -> None:
        """Makes the keys and the server's configuration."""
        self.control.mkdir(parents=True, mode=0o700)
        for key in (self.directory / "host_key", self.key):
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "ecommus-lab", "-f", str(key)]
            subprocess.run(command, check=True, capture_output=True, timeout=30)
        if self.own:
            self._make_home()
        host_key = (self.directory / "host_key.pub").read_text()
        self.known_hosts.write_text(f"[127.0.0.1]:{self.config.sshd_port} {host_key}")
        text = SERVER.format(port=self.config.sshd_port, directory=self.directory, user=self.user, environment=self._environment())
        (self.directory / "sshd_config").write_text(text)

    def _make_home(self) -> None:
        """A home for who runs the lab: a host of a shop knows nothing of their shell's start files, which bash reads for each
        command that comes over SSH (pyenv's cost as much as a module), and they nothing of what is left in it."""
        self.home.mkdir()
        settings = Path.home() / ".npmrc"
        if settings.exists():
            (self.home / ".npmrc").symlink_to(settings)

    def _environment(self) -> str:
        """The variables of each session; npm's cache is the lab's own, as nothing outside its directory is touched."""
        variables = {name: value for name, value in os.environ.items() if NETWORK.fullmatch(name)}
        variables |= {"npm_config_cache": str(self.config.cache / "npm"), "npm_config_prefer_offline": "true"}
        if self.own:
            variables["HOME"] = str(self.home)
        return " ".join(f'"{name}={value}"' for name, value in variables.items())

    def start(self) -> None:
        if os.geteuid() == 0:
            PRIVILEGE_SEPARATION.mkdir(mode=0o755, exist_ok=True)
        # -D keeps it ours to watch. Paths are absolute because sshd starts itself anew from `/`.
        command = [SSHD, "-D", "-f", str(self.directory / "sshd_config"), "-E", str(self.log)]
        processes.spawn(command, self.pid_file, self.log, environment(self.config))
        processes.wait_for_port("sshd", self.config.sshd_port, self.pid_file, self.log)

    def stop(self) -> None:
        """Ends the connections that Ansible keeps open, then the server."""
        for control in self.control.glob("*"):
            command = ["ssh", "-O", "exit", "-o", f"ControlPath={control}", "127.0.0.1"]
            subprocess.run(command, capture_output=True, timeout=10, check=False)
        processes.stop(self.pid_file)
