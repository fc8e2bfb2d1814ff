"""The vendor of the product: releases, premium packages, licences."""

from __future__ import annotations

import shutil
from functools import cached_property

from . import commands, licence, packages, remote
from .config import LabConfig, Shop
from .registry import Registry


class Vendor:
    """What a shop gets from the vendor. The vendor's keys survive ``down``, since every commit depends on them."""

    def __init__(self, config: LabConfig, flavour: str) -> None:
        self.config = config
        self.flavour = flavour
        self.keys = config.cache / "vendor"
        self.remote = config.run / "git/ecommus.git"
        self.allowed_signers = config.run / "git/allowed_signers"

    def publish(self, registry: Registry) -> None:
        """Fills the registry and makes the git repository with the signed tags."""
        packages.publish_packages(self.config.registry_url, registry.vendor_token)
        made = remote.build_remote(
            self.remote,
            self.flavour,
            self.config.registry_url,
            self.config.bin,
            registry.vendor_token,
            self.keys,
            self.config.cache,
        )
        shutil.copy(made.allowed_signers, self.allowed_signers)

    def commit(self, version: str) -> str:
        """The commit of a release."""
        return commands.git("rev-parse", f"refs/tags/{version}^{{commit}}", cwd=self.remote)

    def licence(self, shop: Shop) -> str:
        """A perpetual licence for the shop's domain."""
        return licence.issue(licence.load_key(self.keys), shop.domain)

    @cached_property
    def licensed_packages(self) -> list[str]:
        """The npm names of what the licences cover; the tokens themselves have bare ids."""
        plugins = [f"@ecommus-plugin/{name}" for name in licence.PLUGINS]
        return plugins + [f"@ecommus/{name}" for name in licence.THEMES]
