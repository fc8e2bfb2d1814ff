"""Installed and built releases, made once per flavour and then copied: three shops cost one build."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from .commands import git, run, say
from .config import LabConfig
from .tools import environment
from .vendor import Vendor

# Built one after another, as two cores want it.
WORKSPACES = ("@ecommus/api", "@ecommus/admin", "@ecommus/super-admin", "@ecommus/storefront-astro")


def built_tree(config: LabConfig, vendor: Vendor, version: str, npm_token: str) -> Path:
    """A checkout of ``version`` with its packages and builds, from the cache or made now."""
    trees = config.cache / "trees"
    tree = trees / f"{version}-{vendor.flavour}-{vendor.commit(version)[:12]}"
    if tree.is_dir():
        return tree
    say(f"installing and building {version} once for all shops")
    trees.mkdir(parents=True, exist_ok=True)
    # Trees of an older app are of no more use.
    for old in trees.glob(f"{version}-{vendor.flavour}-*"):
        shutil.rmtree(old)
    partial = Path(tempfile.mkdtemp(prefix="partial.", dir=trees))
    try:
        git(
            "clone",
            "--quiet",
            "--config",
            "advice.detachedHead=false",
            "--branch",
            version,
            str(vendor.remote),
            ".",
            cwd=partial,
        )
        env = environment(
            config,
            NPM_REGISTRY_TOKEN=npm_token,
            npm_config_cache=str(config.cache / "npm"),
            npm_config_prefer_offline="true",
            NEXT_TELEMETRY_DISABLED="1",
            ASTRO_TELEMETRY_DISABLED="1",
        )
        npm = str(config.bin / "npm")
        run([npm, "ci", "--no-audit", "--no-fund", "--loglevel=error"], partial, env)
        for workspace in WORKSPACES:
            run([npm, "run", "build", "--workspace", workspace, "--loglevel=error"], partial, env)
        partial.chmod(0o755)
        partial.rename(tree)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return tree


def copy(tree: Path, target: Path, *, link: bool = True) -> None:
    """Copies a tree.

    The files of ``node_modules`` (28,000 in the full flavour, nine tenths of the bytes) become hard links: npm replaces
    such files and never writes into them. Everything that builds write into is a copy of its own.

    :param link: not where the copy gets another owner, which its hard links would get as well.
    """
    target.mkdir(parents=True, exist_ok=True)
    others = [str(entry) for entry in tree.iterdir() if entry.name != "node_modules"]
    run(["cp", "--archive", "--reflink=auto", *others, str(target)], target, os.environ)
    how = "--link" if link and os.stat(tree).st_dev == os.stat(target).st_dev else "--reflink=auto"
    run(["cp", "--archive", how, str(tree / "node_modules"), str(target)], target, os.environ)
