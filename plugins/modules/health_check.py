#!/usr/bin/python
# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: health_check
short_description: Ask services over HTTP whether they are healthy
version_added: 0.1.0
author:
  - MD Labs (@mdlabs)
description:
  - Sends all probes at the same time and judges status, JSON and text of each answer.
  - Every wait is bound. A server that sends its answer byte by byte is cut off when O(probes[].timeout) or O(deadline) is over.
  - A failing probe is described in words, such as an expired certificate, a refused connection, or what the JSON held instead.
  - Proxies and C(.netrc) of the environment are not used.
requirements:
  - requests >= 2.25
extends_documentation_fragment: [mdlabs.ecommus.attributes, mdlabs.ecommus.journal]
attributes:
  check_mode:
    support: full
    details: Probes with a method other than V(GET), V(HEAD) or V(OPTIONS) are not sent.
  diff_mode:
    support: none
    details: Nothing is changed.
  idempotent:
    support: full
    details: Nothing is changed. Every call sends the probes anew.
options:
  probes:
    description: What to ask.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the probe in results and errors.
        type: str
        required: true
      url:
        description: URL to ask, V(http) or V(https). Must hold no credentials.
        type: str
        required: true
      method:
        description: HTTP method.
        type: str
        default: GET
        choices: [GET, HEAD, OPTIONS, POST, PUT, PATCH, DELETE]
      headers:
        description: Request headers. Those that are secret belong into O(probes[].secret_headers).
        type: dict
        default: {}
      secret_headers:
        description: Request headers whose values are shown nowhere.
        type: dict
        default: {}
      body:
        description: Body of the request, sent as JSON.
        type: raw
      expect_status:
        description: HTTP statuses that are good.
        type: list
        elements: int
        default: [200]
      expect_json:
        description:
          - What the JSON of the answer must hold at least.
          - Keys may be dotted paths, in which numbers index lists, such as V(checks.0.status).
          - Types count. V(1) is not V(true).
        type: dict
        default: {}
      expect_text:
        description: Text that the answer must contain, within its first MiB.
        type: str
        default: ""
      resolve:
        description:
          - Address, as V(address) or V(address:port), to connect to instead of looking up the host of O(probes[].url),
            like C(curl --resolve).
          - Server name indication, C(Host) header and certificate check keep the name of the URL.
        type: str
        default: ""
      ca_path:
        description: File or directory with the CA certificates to trust instead of those of the system.
        type: path
      timeout:
        description: Seconds for one attempt, from name look-up to the last byte.
        type: float
        default: 5
      follow_redirects:
        description: Whether to follow redirects. When not, a redirect is an answer like any other.
        type: bool
        default: false
      bearer:
        description:
          - Sends a bearer token with the probe, and the tenant header where a tenant is given.
          - An account logs in once per call of the module, however many probes and attempts use it, because login routes limit
            requests by address. A refused login is final. Only a login route that could not be reached, or whose proxy answered
            502, 503 or 504, is asked again, at most 5 times per call.
        type: dict
        suboptions:
          login_url:
            description: URL that takes C({email, password}) as JSON by C(POST) and answers with the token.
            type: str
            default: ""
          email:
            description: Account to log in with.
            type: str
            default: ""
          password:
            description: Its password.
            type: str
            default: ""
          token:
            description: A token to use instead of a login.
            type: str
            default: ""
          tenant_id:
            description: Tenant to name in the header, in the login and in the probe.
            type: str
            default: ""
          tenant_header:
            description: Name of that header.
            type: str
            default: X-Tenant-Id
          token_key:
            description: Key, or dotted path, of the token in the login's answer.
            type: str
            default: accessToken
          resolve:
            description: As O(probes[].resolve), for the login. Default is that of the probe when both URLs have the same host and port.
            type: str
            default: ""
  retries:
    description: How many bad attempts each probe is forgiven.
    type: int
    default: 0
  interval:
    description: Seconds between two attempts of a probe.
    type: float
    default: 2
  consecutive:
    description: How many good answers in a row each probe must give. The attempts are O(interval) apart.
    type: int
    default: 1
  deadline:
    description: Seconds for the whole call.
    type: float
    default: 60
  fail:
    description: Whether the module fails when a probe does. When V(false), see RV(ok).
    type: bool
    default: true
  certificate_warn_days:
    description: Warn when a certificate expires within this many days; V(0) never warns.
    type: int
    default: 14
seealso:
  - module: mdlabs.ecommus.uptime_prober
  - module: mdlabs.ecommus.candidate
"""

EXAMPLES = r"""
- name: The four services are healthy
  mdlabs.ecommus.health_check:
    retries: 10
    interval: 3
    probes:
      - name: api
        url: https://api.mystore.example/health
        expect_json: {ok: true}
      - name: admin
        url: https://admin.mystore.example/api/health
        expect_json: {ok: true}
      - name: super-admin
        url: https://superadmin.mystore.example/api/health
        expect_json: {ok: true}
      - name: storefront
        url: https://mystore.example/
        expect_text: "<html"

- name: The proxy on this host serves the shop, whatever DNS says
  mdlabs.ecommus.health_check:
    probes:
      - name: storefront route
        url: https://mystore.example/api/storefront/categories
        resolve: 127.0.0.1:8443
        ca_path: /etc/ssl/private-ca.pem

- name: The admin can list products
  mdlabs.ecommus.health_check:
    probes:
      - name: products
        url: https://api.mystore.example/api/admin/products?limit=1
        bearer:
          login_url: https://api.mystore.example/api/admin/auth/login
          email: upgrade@mystore.example
          password: "{{ vault_upgrade_password }}"
          tenant_id: 7d1c
"""

RETURN = r"""
run:
  description: The run as it was written into the journal.
  returned: success, when O(journal) is given and not in check mode
  type: dict
ok:
  description: Whether all probes succeeded.
  returned: always
  type: bool
results:
  description: What each probe found, in the order of O(probes).
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name of the probe.
      type: str
    url:
      description: URL that was asked.
      type: str
    ok:
      description: Whether the last answers were good.
      type: bool
    status:
      description: HTTP status of the last answer, V(0) when none came.
      type: int
    latency_ms:
      description: Milliseconds of the last answer, from name look-up to the last byte.
      type: float
    error:
      description: What was wrong, empty when nothing was.
      type: str
    remedy:
      description: What to do about it, empty when nothing was wrong.
      type: str
    attempts:
      description: How many times the probe was sent.
      type: int
    certificate_expires:
      description: When the server's certificate expires (ISO 8601, UTC), empty without TLS.
      type: str
  sample:
    - name: api
      url: https://api.mystore.example/health
      ok: true
      status: 200
      latency_ms: 12.6
      error: ""
      remedy: ""
      attempts: 1
      certificate_expires: "2027-03-01T09:00:00Z"
skipped_probes:
  description: Names of the probes that were not sent because check mode must not write.
  returned: always
  type: list
  elements: str
remedy:
  description: What to do about the probes that failed.
  returned: failure
  type: str
"""

import dataclasses
import time
import typing as t

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.mdlabs.ecommus.plugins.module_utils._argspec import run_module
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._expect import Expectation
from ansible_collections.mdlabs.ecommus.plugins.module_utils._health import Bearer, Patience, Probe, Result, check, failure
from ansible_collections.mdlabs.ecommus.plugins.module_utils._http import REQUESTS_IMPORT_ERROR, same_server
from ansible_collections.mdlabs.ecommus.plugins.module_utils._journal_options import journal_options, noted

BEARER = {
    "login_url": {"type": "str", "default": ""},
    "email": {"type": "str", "default": ""},
    "password": {"type": "str", "default": "", "no_log": True},
    "token": {"type": "str", "default": "", "no_log": True},
    "tenant_id": {"type": "str", "default": ""},
    "tenant_header": {"type": "str", "default": "X-Tenant-Id"},
    "token_key": {"type": "str", "default": "accessToken", "no_log": False},
    "resolve": {"type": "str", "default": ""},
}

PROBE = {
    "name": {"type": "str", "required": True},
    "url": {"type": "str", "required": True},
    "method": {"type": "str", "default": "GET", "choices": ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"]},
    "headers": {"type": "dict", "default": {}},
    "secret_headers": {"type": "dict", "default": {}, "no_log": True},
    "body": {"type": "raw"},
    "expect_status": {"type": "list", "elements": "int", "default": [200]},
    "expect_json": {"type": "dict", "default": {}},
    "expect_text": {"type": "str", "default": ""},
    "resolve": {"type": "str", "default": ""},
    "ca_path": {"type": "path"},
    "timeout": {"type": "float", "default": 5},
    "follow_redirects": {"type": "bool", "default": False},
    "bearer": {"type": "dict", "options": BEARER},
}

ARGUMENTS = {
    **journal_options(),
    "probes": {"type": "list", "elements": "dict", "required": True, "options": PROBE},
    "retries": {"type": "int", "default": 0},
    "interval": {"type": "float", "default": 2},
    "consecutive": {"type": "int", "default": 1},
    "deadline": {"type": "float", "default": 60},
    "fail": {"type": "bool", "default": True},
    "certificate_warn_days": {"type": "int", "default": 14},
}


def probe_from(given: dict[str, t.Any]) -> Probe:
    bearer = None
    account = given["bearer"]
    if account:
        if not account["token"] and not (account["login_url"] and account["email"] and account["password"]):
            raise EcommusError(
                f"probe {given['name']}: bearer has neither a token nor login_url, email and password", "give one of the two"
            )
        near = same_server(account["login_url"], given["url"])
        resolve = account["resolve"] or (given["resolve"] if near else "")
        bearer = Bearer(**{**account, "resolve": resolve, "ca_path": given["ca_path"] or ""})
    return Probe(
        name=given["name"],
        url=given["url"],
        expected=Expectation(given["expect_status"], given["expect_json"], given["expect_text"]),
        method=given["method"],
        headers={**given["headers"], **given["secret_headers"]},
        body=given["body"],
        resolve=given["resolve"],
        ca_path=given["ca_path"] or "",
        timeout=given["timeout"],
        follow_redirects=given["follow_redirects"],
        bearer=bearer,
        secrets=[str(value) for value in given["secret_headers"].values()] + ([account["token"], account["password"]] if account else []),
    )


def warn_of_expiry(module: AnsibleModule, results: list[Result], days: int) -> None:
    limit = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + days * 86400))
    for result in results:
        if days and "" < result.certificate_expires < limit:
            module.warn(f"the certificate of {result.url} expires at {result.certificate_expires}")


@noted
def main(module: AnsibleModule) -> dict[str, t.Any]:
    if REQUESTS_IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("requests"), exception=REQUESTS_IMPORT_ERROR)
    options = module.params
    probes = [probe_from(given) for given in options["probes"]]
    skipped = [probe.name for probe in probes if module.check_mode and probe.method not in ("GET", "HEAD", "OPTIONS")]
    patience = Patience(options["retries"], options["consecutive"], options["interval"], options["deadline"])
    results = check([probe for probe in probes if probe.name not in skipped], patience)
    warn_of_expiry(module, results, options["certificate_warn_days"])
    ok = all(result.ok for result in results)
    answer = {"ok": ok, "results": [dataclasses.asdict(result) for result in results], "skipped_probes": skipped}
    if not ok and options["fail"]:
        error = failure(results)
        raise EcommusError(error.message, error.remedy, **answer)
    return answer


if __name__ == "__main__":
    run_module(main, ARGUMENTS)
