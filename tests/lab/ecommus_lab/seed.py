"""Filling a shop's database, and the one account in it that is known by password."""

from __future__ import annotations

import base64
import hashlib
import os
import uuid

from .commands import run
from .config import LAB_SOURCE, LabConfig, Shop
from .shops import Installer
from .tools import environment

SEED = LAB_SOURCE / "app/seed.sql"
TENANTS = 4


def seed(config: LabConfig, installer: Installer, orders: int) -> None:
    """Runs ``app/seed.sql`` as the owner of the migrated database."""
    shop = installer.shop
    values = {
        "orders": orders,
        "tenants": TENANTS,
        "domain": shop.domain,
        "admin_email": admin_email(shop),
        "admin_password_hash": _password_hash(installer.secrets.admin_password),
    }
    settings = [word for name, value in values.items() for word in ("--set", f"{name}={value}")]
    # By environment, since everybody may read the arguments of a process.
    env = environment(
        config,
        PGHOST="127.0.0.1",
        PGPORT=str(config.postgres_port),
        PGDATABASE=shop.database.name,
        PGUSER=shop.database.role,
        PGPASSWORD=installer.secrets.database_password,
    )
    run([str(config.bin / "psql"), "--no-psqlrc", "--quiet", *settings, "--file", str(SEED)], shop.directory, env)


def admin_probe(installer: Installer) -> dict[str, str]:
    """The administrator of the shop's main tenant, for probes that log in."""
    tenant = uuid.UUID(hashlib.md5(b"ecommus-tenant-1").hexdigest())
    return {
        "email": admin_email(installer.shop),
        "password": installer.secrets.admin_password,
        "tenant_id": str(tenant),
    }


def admin_email(shop: Shop) -> str:
    return f"admin@{shop.domain}"


def _password_hash(password: str) -> str:
    """As the product keeps it: scrypt with node's default cost."""
    salt = os.urandom(16)
    key = hashlib.scrypt(password.encode(), salt=salt, n=16384, r=8, p=1, maxmem=64 << 20, dklen=32)
    return "$".join(["scrypt", *(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (salt, key))])
