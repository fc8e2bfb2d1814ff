#!/usr/bin/python
# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: candidate
short_description: Boot a release beside the live one, and prove that it answers
version_added: 0.1.0
author:
  - MD Labs (@mdlabs)
description:
  - Starts the services of a release that is not live yet, each on a free port of 127.0.0.1, with the environment that it would have
    when live. A release that crashes or hangs at boot, or answers badly, shows before any live process is touched.
  - Script, arguments, working directory, interpreter and environment are those of the ecosystem file, in which paths through O(root) are
    taken to lead to O(directory). Services in cluster mode get the Node.js of the pm2 daemon. pm2 itself takes no part.
  - A service is proven when a process of its own listens on the side port, has said that it is ready if its definition has C(wait_ready),
    works under O(directory), answers all its routes, and then lives and answers its health route for O(stable_seconds).
  - Everything that was started is ended before the module returns, also when it fails, and also when it is killed.
requirements:
  - Linux
  - pm2 5 or newer, run by the same user as this module
extends_documentation_fragment: [mdlabs.ecommus.attributes, mdlabs.ecommus.pm2, mdlabs.ecommus.journal]
attributes:
  check_mode:
    support: full
    details: Says what would be started, and starts nothing.
  diff_mode:
    support: none
    details: Nothing is changed.
  idempotent:
    support: full
    details: Nothing is changed.
  action_group:
    membership: [mdlabs.ecommus.all, mdlabs.ecommus.pm2]
options:
  state:
    description: V(proven) boots, asks and ends the services.
    type: str
    choices: [proven]
    default: proven
  directory:
    description: The directory of the release. Where it is the live one (O(root)), its new code is booted beside its old processes.
    type: path
    required: true
  root:
    description: The live directory of the shop, as the ecosystem file names it.
    type: path
    required: true
  version:
    description: Tag of the release. The version in its C(packages/core/package.json) must be the same. Empty does not compare.
    type: str
    default: ""
  from_version:
    description: Tag of the live release. Where the version in its packages differs from its tag as well, nothing is compared.
    type: str
    default: ""
  services:
    description: The services, in the order in which to boot them.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name in errors and answers.
        type: str
        required: true
      process:
        description: Its name in O(ecosystem_file).
        type: str
        required: true
      port:
        description: Its live port. Where its arguments or its environment name this port, it gives way to the side port.
        type: int
      routes:
        description: What it is asked, with plain HTTP. The first route is that of its health.
        type: list
        elements: dict
        default: []
        suboptions:
          path:
            description: Path, with query.
            type: str
            required: true
          headers:
            description: Headers, such as the C(Host) that the proxy passes on.
            type: dict
            default: {}
          expect_status:
            description: HTTP statuses that are good.
            type: list
            elements: int
            default: [200]
          expect_json:
            description: What the JSON body must hold at least, as in M(mdlabs.ecommus.health_check).
            type: dict
            default: {}
          expect_text:
            description: What the body must contain.
            type: str
            default: ""
  ecosystem_file:
    description: Path of the ecosystem file of the shop. One below O(root) that the release brings itself is read from the release.
    type: path
    required: true
  ecosystem_env:
    description: Name of the C(env_<name>) block of the ecosystem file to merge.
    type: str
  env_file:
    description: The environment file of the shop. The services read it themselves; here its secrets are taken out of errors and logs.
    type: path
  port_variable:
    description: Environment variable by which the services are told their port.
    type: str
    default: PORT
  environment:
    description:
      - Environment variables that differ from those of the ecosystem file. No place for secrets, which belong into the environment file.
      - E(ECOMMUS_WORKERS) is V(false) and E(HOST) is V(127.0.0.1) unless they are given here.
    type: dict
    default: {}
  timeout:
    description:
      - Seconds for one service to listen and to be ready.
      - For a service with C(wait_ready) its C(listen_timeout) goes first, if shorter and at least 15 seconds. It could not go live later.
    type: float
    default: 60
  stable_seconds:
    description: Seconds for which the services must live and answer before they are believed.
    type: float
    default: 3
  stop_timeout:
    description: Seconds for the services to end after SIGINT, before they are killed. That is no failure, see RV(candidates[].killed).
    type: float
    default: 10
  overlap:
    description:
      - V(all) keeps every service up until the last is proven. The services take their memory a second time meanwhile.
      - V(one) boots one service at a time, which takes O(stable_seconds) for each.
    type: str
    choices: [all, one]
    default: all
notes:
  - The services use the live database. Those that ask the API ask the live one.
seealso:
  - module: mdlabs.ecommus.pm2_control
  - module: mdlabs.ecommus.health_check
  - module: mdlabs.ecommus.release
"""

EXAMPLES = r"""
- name: Boot the release on side ports
  mdlabs.ecommus.candidate:
    directory: /opt/ecommus.d/releases/v1.4.0-1a2b3c4d
    root: /opt/ecommus
    version: v1.4.0
    ecosystem_file: /opt/ecommus/ecosystem.config.cjs
    env_file: /opt/ecommus/.env
    services:
      - name: api
        process: api
        routes:
          - path: /health
            expect_json: {ok: true}
          - path: /api/storefront/categories
            headers: {Host: mystore.example}
      - name: admin
        process: admin
        routes:
          - path: /api/health
"""

RETURN = r"""
run:
  description: The run as it was written into the journal.
  returned: success, when O(journal) is given and not in check mode
  type: dict
candidates:
  description: The services, in order. In check mode what would be started.
  returned: success
  type: list
  elements: dict
  contains:
    name: {description: Name of the service., type: str}
    process: {description: Its name in the ecosystem file., type: str}
    command: {description: What was started., type: str}
    cwd: {description: Where., type: str}
    port: {description: Its side port., type: int}
    pids: {description: The processes that listened on it., type: list, elements: int}
    boot_seconds: {description: Seconds from its start to its last first answer., type: float}
    answers:
      description: Per route its C(path), the C(status) and the C(latency_ms) of its first good answer.
      type: list
      elements: dict
    killed: {description: Whether it had to be killed because it did not end by itself., type: bool}
service:
  description: The service that failed.
  returned: on failure of a service
  type: str
reason:
  description:
    - V(start), it could not be started. V(crashed), it ended at boot. V(hung), it did not listen or was not ready in time.
      V(answer), a route answered badly. V(identity), it is not of the release. V(died), it ended later.
  returned: on failure
  type: str
log:
  description: The end of what the failed service printed, secrets removed.
  returned: on failure of a service
  type: list
  elements: str
pids:
  description: Processes that were started and could not be ended.
  returned: on that failure
  type: list
  elements: int
command:
  description: A program that did not end in time, secrets removed.
  returned: on that failure
  type: str
remedy:
  description: What to do about the problem that C(msg) names.
  returned: failure
  type: str
"""

import dataclasses
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mdlabs.ecommus.plugins.module_utils._argspec import run_module
from ansible_collections.mdlabs.ecommus.plugins.module_utils._candidate import Service, Trial, plan, prove
from ansible_collections.mdlabs.ecommus.plugins.module_utils._candidate_routes import Route
from ansible_collections.mdlabs.ecommus.plugins.module_utils._expect import Expectation
from ansible_collections.mdlabs.ecommus.plugins.module_utils._journal_options import journal_options, noted
from ansible_collections.mdlabs.ecommus.plugins.module_utils._pm2_options import pm2_of, pm2_options

ROUTE = {
    "path": {"type": "str", "required": True},
    "headers": {"type": "dict", "default": {}},
    "expect_status": {"type": "list", "elements": "int", "default": [200]},
    "expect_json": {"type": "dict", "default": {}},
    "expect_text": {"type": "str", "default": ""},
}
SERVICE = {
    "name": {"type": "str", "required": True},
    "process": {"type": "str", "required": True},
    "port": {"type": "int"},
    "routes": {"type": "list", "elements": "dict", "default": [], "options": ROUTE},
}


@noted
def run(module: AnsibleModule) -> dict[str, t.Any]:
    params = module.params
    services = [
        Service(
            service["name"],
            service["process"],
            tuple(
                Route(route["path"], route["headers"], Expectation(route["expect_status"], route["expect_json"], route["expect_text"]))
                for route in service["routes"]
            ),
            service["port"],
        )
        for service in params["services"]
    ]
    given = {field.name: params[field.name] for field in dataclasses.fields(Trial) if field.name not in ("pm2", "environment")}
    trial = Trial(
        pm2=pm2_of(params),
        environment={key: str(value) for key, value in params["environment"].items()},
        **given,
    )
    candidates = plan(trial, services) if module.check_mode else prove(trial, services)
    return {"changed": False, "candidates": [candidate.shown() for candidate in candidates]}


def main() -> None:
    run_module(
        run,
        {
            "state": {"type": "str", "choices": ["proven"], "default": "proven"},
            "directory": {"type": "path", "required": True},
            "root": {"type": "path", "required": True},
            "version": {"type": "str", "default": ""},
            "from_version": {"type": "str", "default": ""},
            "services": {"type": "list", "elements": "dict", "required": True, "options": SERVICE},
            "ecosystem_file": {"type": "path", "required": True},
            "ecosystem_env": {"type": "str"},
            "env_file": {"type": "path"},
            "port_variable": {"type": "str", "default": "PORT"},
            "environment": {"type": "dict", "default": {}},
            **pm2_options(),
            **journal_options(),
            "timeout": {"type": "float", "default": 60},
            "stable_seconds": {"type": "float", "default": 3},
            "stop_timeout": {"type": "float", "default": 10},
            "overlap": {"type": "str", "choices": ["all", "one"], "default": "all"},
        },
    )


if __name__ == "__main__":
    main()
