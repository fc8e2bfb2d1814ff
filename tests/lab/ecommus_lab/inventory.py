"""What Ansible has to know about the shops; names and meaning are those of the role ``install``."""

from __future__ import annotations

import shlex
import sys
from typing import Any

from . import accounts
from .config import SERVICES, WORKERS, LabConfig, Shop
from .proxy import Proxy
from .shops import Installer, database_url
from .sshd import Sshd
from .vendor import Vendor

WORKSPACES = {
    "api": "@ecommus/api",
    "admin": "@ecommus/admin",
    "super-admin": "@ecommus/super-admin",
    "storefront": "@ecommus/storefront-astro",
}


def host_vars(
    config: LabConfig, installer: Installer, vendor: Vendor, probe: dict[str, str], ssh: bool, deploy: accounts.Account | None
) -> dict[str, Any]:
    """Variables of one shop.

    :param probe: ``email``, ``password`` and ``tenant_id`` of an administrator.
    :param ssh: whether the lab has an SSH server.
    :param deploy: the user that logs in, if not the one that runs the lab.
    """
    shop = installer.shop
    return {
        **(_ssh(config, deploy) if ssh else {"ansible_connection": "local"}),
        **_python(config, installer),
        "ecommus_root": str(shop.root),
        "ecommus_layout": shop.layout,
        "ecommus_pm2_home": str(shop.pm2_home),
        "ecommus_path_prefix": [str(config.bin)],
        "ecommus_ecosystem_file": str(shop.root / "ecosystem.config.cjs"),
        "ecommus_snapshot_dir": str(shop.snapshot_dir),
        "ecommus_domain": shop.domain,
        "ecommus_resolve": f"127.0.0.1:{config.proxy_port}",
        "ecommus_ca_path": str(Proxy(config).ca),
        "ecommus_services": [_service(shop, service) for service in SERVICES],
        "ecommus_workers_process": shop.processes[WORKERS].name,
        "ecommus_jobs_query": "SELECT count(*) FROM jobs WHERE status = 'running'",
        "ecommus_storefront_probe_url": f"https://{shop.domain}/api/storefront/categories",
        "ecommus_admin_probe": {
            "url": f"https://{shop.hosts['api']}/api/admin/products?limit=1",
            "login_url": f"https://{shop.hosts['api']}/api/admin/auth/login",
            **probe,
        },
        "ecommus_env": {"CHECKOUT_SESSION_SECRET": installer.secrets.checkout_session_secret},
        "ecommus_allowed_signers": str(vendor.allowed_signers),
        **_admin_url(config, installer),
    }


def for_all(owner: accounts.Account | None) -> dict[str, Any]:
    """What is said of all hosts, as the example inventory does, where the shops belong to another user."""
    return {"ansible_become": True, "ansible_become_user": owner.name} if owner else {}


def _python(config: LabConfig, installer: Installer) -> dict[str, Any]:
    if installer.owner is not None:
        return {"ansible_python_interpreter": accounts.PYTHON}
    # Not in our home: nothing lies outside of the lab.
    return {"ansible_python_interpreter": sys.executable, "ansible_remote_tmp": str(config.run / "ansible")}


def _service(shop: Shop, service: str) -> dict[str, Any]:
    # The theme's header tells v1.3.2 from v1.4.0; the other services answer the same in all releases.
    page = {"expect_text": "<html", "identity_regex": "<header[^>]*>"}
    expectation = page if service == "storefront" else {"expect_json": {"ok": True}}
    return {
        "name": service,
        "workspace": WORKSPACES[service],
        "process": shop.processes[service].name,
        "port": shop.ports[service],
        "health_url": shop.health_url(service),
        **expectation,
    }


def _admin_url(config: LabConfig, installer: Installer) -> dict[str, str]:
    database = installer.shop.database
    if database.dba is None:
        return {}
    url = database_url(config, database.dba, installer.secrets.dba_password, database.name)
    return {"ecommus_database_admin_url": url}


def _ssh(config: LabConfig, deploy: accounts.Account | None) -> dict[str, Any]:
    sshd = Sshd(config, deploy.name if deploy else None)
    options = {
        "UserKnownHostsFile": shlex.quote(str(sshd.known_hosts)),
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes",
        "IdentitiesOnly": "yes",
    }
    return {
        "ansible_host": "127.0.0.1",
        "ansible_port": config.sshd_port,
        "ansible_user": sshd.user,
        "ansible_ssh_private_key_file": str(sshd.key),
        # Kept below .lab/run, so that `down` can end what Ansible leaves open.
        "ansible_control_path_dir": str(sshd.control),
        "ansible_ssh_common_args": " ".join(["-F /dev/null", *(f"-o {name}={value}" for name, value in options.items())]),
    }
