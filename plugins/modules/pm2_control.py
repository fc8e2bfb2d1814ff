#!/usr/bin/python
# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pm2_control
short_description: Describe, start, stop and replace processes under pm2, with proof
version_added: 0.1.0
author:
  - MD Labs (@mdlabs)
description:
  - Acts on processes of one pm2 daemon by name, in the order given, and stops at the first failure.
  - Believes neither exit codes nor check marks of pm2. What happened is read from the process table and from C(/proc),
    the processes are watched for O(stable_seconds), and each one's own answer to its health URL is checked.
  - O(state=replaced) changes the code behind a service without a failed request in cluster mode. New processes join the old ones under
    the same name and port, are proven, and only then are the old ones deleted. When the proof fails the new ones are deleted,
    and the old ones have served all the time. C(pm2 reload) kills the old process whether or not the new one lives.
  - With O(state=replaced) several names are changed together. The new processes of all come up in the order given, are watched at
    the same time, and no old process of any of them goes before that, so that one bad service leaves all as they were. Only those
    that have to be restarted in place (see O(fork_strategy)) come afterwards, one by one.
  - Never starts a pm2 daemon unless asked to by O(state=alive). Runs pm2 with a scrubbed environment, so that nothing of the deploy
    shell gets into a process.
  - Environments of processes are never returned.
requirements:
  - Linux
  - pm2 5 or newer, run by the same user as this module
extends_documentation_fragment: [mdlabs.ecommus.attributes, mdlabs.ecommus.pm2, mdlabs.ecommus.journal]
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: Shows processes by name, id, status and real directory.
  idempotent:
    support: partial
    details: O(state=restarted), O(state=reloaded) act each time, and so does O(state=replaced) without O(newer_than).
  action_group:
    membership: [mdlabs.ecommus.all, mdlabs.ecommus.pm2]
options:
  state:
    description:
      - V(described) reads only.
      - V(alive) starts a daemon in the place of one that died, with the processes that were saved last (C(pm2 resurrect)).
        One that knows no process although some were saved counts as dead. In check mode it fails when there is none.
      - V(started) starts what does not run. What O(ecosystem_file) defines is started from it, as it is now, in the place of what stands
        still; what it does not define is started as pm2 remembers it.
      - V(stopped) stops gracefully, and fails when pm2 had to kill a process (its job is cut off then), see O(allow_killed).
      - V(restarted) restarts in place one by one, with the environment that pm2 remembers. A service with one process is away meanwhile.
      - V(reloaded) runs C(pm2 reload) one by one, each proven before the next. It protects from pm2's lies, not from a bad release.
      - V(replaced) adds, proves, then removes. Takes directory, script and environment from O(ecosystem_file) as it is now.
        For fork mode see O(fork_strategy). A name that pm2 has lost, in a run that was killed or with the daemon, is started from it.
      - V(deleted) stops and takes out of pm2's table.
      - V(saved) writes the list that C(pm2 resurrect) restores.
    type: str
    choices: [described, alive, started, stopped, restarted, reloaded, replaced, deleted, saved]
    default: described
  name:
    description: Names of the processes, in the order in which to act on them. Every process that runs under a name is meant.
    type: list
    elements: str
    default: []
  ecosystem_file:
    description: Path of the ecosystem file that defines the processes. Its name must be one that pm2 recognises.
    type: path
  ecosystem_env:
    description: Name of the C(env_<name>) block of the ecosystem file to merge, as with C(pm2 start --env).
    type: str
  environment:
    description:
      - Per process name, variables that new processes of O(state=replaced) and O(state=started) get on top of those of
        O(ecosystem_file), which must define it.
      - A running process that lacks one of them is not new in the sense of O(newer_than).
      - They are forgotten with the next O(state=replaced) without them. A process that can only be restarted in place remembers them unless
        it is named here again, be it with V({}).
      - Not for secrets.
    type: dict
    default: {}
  ports:
    description: For O(state=described), TCP ports on 127.0.0.1 whose serving processes are looked for, by connecting to them.
    type: list
    elements: int
    default: []
  expect_path:
    description:
      - Directory that the processes must run from afterwards, links resolved. Their working directories and scripts must lie under it.
      - With O(state=described) the working directories of the processes O(name) must.
    type: path
  env_file:
    description:
      - What the processes read themselves when they start. Each that O(state) has started must have started after its last change.
      - A file below O(expect_path) is looked at by its place in the release, as the processes see it.
    type: path
  env_keys:
    description: Keys that O(env_file) must have. Errors name keys and never values.
    type: list
    elements: str
    default: []
  secrets_file:
    description:
      - An environment file that the processes read themselves. No error quotes a secret of it, whatever a process has written to its log.
      - What is given as O(env_file) is this too.
    type: path
  health_urls:
    description:
      - Per process name, plain HTTP URLs on this host.
      - Every single process must answer each with status 200 and without C("ok") being false.
      - Connections are followed to the process that takes them, so that a good answer of an old process does not count for a new one.
    type: dict
    default: {}
  service_ports:
    description:
      - For O(state=replaced) in cluster mode, per process name the TCP port of this host that its processes take connections on,
        if E(PORT) in O(ecosystem_file) does not say so.
      - A new process that does not tell pm2 when it is ready (C(wait_ready)) and has no O(health_urls) is believed when it has taken a
        connection there. Until then no old one goes. A port that no old process is seen to serve proves nothing.
    type: dict
    default: {}
  stable_seconds:
    description: Seconds for which processes must live unchanged before they are believed.
    type: float
    default: 3.0
  timeout:
    description: Seconds for one process to come up and answer. A longer C(listen_timeout) of the process goes first.
    type: float
    default: 60.0
  stop_timeout:
    description:
      - Seconds that a process may need to end, for O(state=stopped) and O(state=replaced). The module refuses when C(kill_timeout)
        of the process is shorter, for pm2 would kill it in the middle of its job and report success.
      - Given with O(state=replaced), also V(0), it is an error when pm2 had to kill an old process.
    type: float
  allow_killed:
    description: Whether O(state=stopped) may be reached by pm2 killing a process, such as one of a service that hangs and is given up.
    type: bool
    default: false
  instances:
    description:
      - For O(state=started), how many processes of each name are to run. Others that stand still are left so, and none that runs
        is stopped. Without it all that pm2 knows are started.
    type: int
  overlap:
    description:
      - For O(state=replaced) in cluster mode. V(all) starts all new processes of all names before the first old one goes, which
        takes twice the memory for a moment. V(one) goes name by name and exchanges one process at a time.
    type: str
    choices: [all, one]
    default: all
  parallel:
    description:
      - For O(state=replaced), how many new processes come up at the same time, at least 1, as with C(pm2 reload --parallel).
      - More than 1 is quicker, and is for code that has proven itself. With 1 a release that cannot start shows with the first process.
    type: int
    default: 1
  fork_strategy:
    description:
      - For O(state=replaced) in fork mode, where a process holds its port alone.
      - V(auto) lets the new process share the port with the old one until it is proven, without a failed request. It needs Linux 5.6,
        Node.js 22.12, O(ecosystem_file), a known port (from O(health_urls) or E(PORT) in the file), a single process, and the right to
        copy a socket of a process of one's own user (root, or C(kernel.yama.ptrace_scope) 0). Elsewhere it restarts.
        The new process gets C(--import) of a few lines in E(NODE_OPTIONS), which make it share its port.
      - V(restart) stops the process and starts it again, and measures the gap.
    type: str
    choices: [auto, restart]
    default: auto
  newer_than:
    description:
      - Seconds since the epoch. O(state=replaced) leaves a name alone when all of its processes started after this moment and
        the last change of O(env_file), and run from O(expect_path).
      - Makes a repeated call report no change. Without it every call replaces.
    type: float
  include_stopped:
    description: Whether O(state=restarted) and O(state=reloaded) also start processes that somebody has stopped. pm2 itself always does.
    type: bool
    default: false
  allow_version_mismatch:
    description:
      - Whether to start and replace processes although the daemon runs another version of pm2 than the command.
        That is so after pm2 was updated without C(pm2 update).
    type: bool
    default: false
  save:
    description: Whether to save the process list after a proven change, as O(state=saved) does.
    type: bool
    default: false
notes:
  - New processes of O(state=replaced), and of O(state=started) with O(ecosystem_file), get new pm2 ids and the lowest free numbers in
    E(NODE_APP_INSTANCE). Without C(merge_logs) their log files have new names.
  - C(pm2 save) writes secrets of all processes. The module makes the file readable by its owner only.
seealso:
  - module: mdlabs.ecommus.candidate
  - module: mdlabs.ecommus.workers_info
  - module: mdlabs.ecommus.health_check
"""

EXAMPLES = r"""
- name: See what runs, without changing or starting anything
  mdlabs.ecommus.pm2_control:
    path_prefix: [/opt/node/bin]
  register: pm2

- name: Stop the workers, and give their jobs 30 seconds to end
  mdlabs.ecommus.pm2_control:
    state: stopped
    name: [ecommus-api-workers]
    stop_timeout: 30

- name: Move the services to the release that the link now points to
  mdlabs.ecommus.pm2_control:
    state: replaced
    name: [api, admin, super-admin, storefront]
    ecosystem_file: /opt/ecommus/ecosystem.config.cjs
    expect_path: /opt/ecommus
    health_urls:
      api: ["http://127.0.0.1:4000/health"]
      admin: ["http://127.0.0.1:3001/api/health"]
    save: true

- name: Bring the workers back
  mdlabs.ecommus.pm2_control:
    state: started
    name: [ecommus-api-workers]
    ecosystem_file: /opt/ecommus/ecosystem.config.cjs
"""

RETURN = r"""
run:
  description: The run as it was written into the journal.
  returned: success, when O(journal) is given and not in check mode
  type: dict
processes:
  description: pm2's table afterwards, one entry per process. Environments are left out.
  returned: always
  type: list
  elements: dict
  contains:
    name: {description: Name of the process., type: str}
    pm_id: {description: Its number in pm2., type: int}
    pid: {description: Its process id; 0 when it does not run., type: int}
    status: {description: "Its status in pm2, such as V(online), V(stopped) or V(errored).", type: str}
    exec_mode: {description: V(cluster) or V(fork)., type: str}
    instance: {description: "Its E(NODE_APP_INSTANCE); V(null) when it has none.", type: int}
    started: {description: "When it started last, ISO 8601 in UTC.", type: str}
    started_ms: {description: When it started last in milliseconds since the epoch., type: int}
    restarts: {description: Restarts since it was added., type: int}
    unstable_restarts: {description: Restarts that pm2 counts as crashes at start., type: int}
    exit_code: {description: Exit code of its last end; V(null) when it never ended., type: int}
    cwd: {description: "Working directory as pm2 was given it, links unresolved.", type: str}
    script: {description: "Script as pm2 was given it, links unresolved.", type: str}
    real_cwd: {description: Real working directory of the running process; V(null) when none runs., type: str}
    real_script: {description: What the script's path resolves to now., type: str}
    follows_link: {description: Whether the script's path goes through a link. One that does not is pinned to its directory., type: bool}
    version: {description: Version in the package.json found beside the script when it started; V(null) when there was none., type: str}
    node_version: {description: Node version that it runs on; V(null) when not known., type: str}
    namespace: {description: pm2 namespace., type: str}
    wait_ready: {description: Whether it tells pm2 when it is ready., type: bool}
    listen_timeout_ms: {description: Milliseconds that pm2 waits for that., type: int}
    kill_timeout_ms: {description: Milliseconds that it has to end before pm2 kills it., type: int}
    autorestart: {description: Whether pm2 restarts it when it ends., type: bool}
    merge_logs: {description: Whether the processes of the name share their log files., type: bool}
    cron_restart: {description: Its restart schedule; V(null) when it has none., type: str}
    watch: {description: Whether pm2 restarts it when files change., type: bool}
    out_log: {description: Path of its output log; V(null) when it has none., type: str}
    error_log: {description: Path of its error log; V(null) when it has none., type: str}
    memory_bytes: {description: Resident memory., type: int}
before:
  description: pm2's table as it was before, like RV(processes), for a later run that has to bring it back.
  returned: always, except with O(state=described)
  type: list
  elements: dict
names:
  description: Per name the number of processes (C(instances)), how many are C(online) and C(stopped), and their C(exec_mode).
  returned: always
  type: dict
daemon:
  description:
    - The daemon's C(pid), C(home) and C(version), the C(command_version) of the pm2 command, and whether they differ (C(mismatch)).
  returned: always
  type: dict
orphans:
  description: Children of the daemon that its table does not know, each with C(pid), C(command) and C(cwd).
  returned: always
  type: list
  elements: dict
ecosystem:
  description:
    - The processes that O(ecosystem_file) defines, by name. Of their environments only the port and the names of the keys.
    - V(null) without O(ecosystem_file), and in other states than V(described).
  returned: always
  type: dict
serving:
  description:
    - Per port of O(ports) the processes that take its connections, with C(pid), C(command) and C(cwd), their real directory.
    - In cluster mode the pm2 daemon listens, but a worker takes the connection; that worker is what is returned.
  returned: with O(state=described)
  type: dict
done:
  description: Names that are as wanted, in order. On failure those that needed no change or were reached before it.
  returned: always, except with O(state=described)
  type: list
  elements: str
failed_name:
  description: The name that failed.
  returned: on failure
  type: str
untouched:
  description:
    - Names that were not reached. With O(state=replaced) also those whose new processes were taken back; their old ones still run.
  returned: on failure
  type: list
  elements: str
log:
  description: What the failed process wrote to its error log, secrets removed.
  returned: on failure, when it wrote anything
  type: list
  elements: str
old_untouched:
  description: Whether the processes that ran before all still run.
  returned: on failure of O(state=replaced)
  type: bool
replaced:
  description:
    - Per name what was done. C(strategy), C(old_ids), C(new_ids), C(killed) (process ids of old processes that pm2 had to kill),
      C(gap_ms), the longest time in milliseconds that the port took no connection (fork mode only), and C(note), why there was a gap.
  returned: with O(state=replaced)
  type: list
  elements: dict
saved:
  description: Path of the saved process list.
  returned: when it was saved
  type: str
process:
  description: The same as RV(failed_name), where the failing step knew it.
  returned: on failure
  type: str
pm_id:
  description: pm2's number of the process that was not as it should be.
  returned: on failure of a proof
  type: int
reason:
  description: What was wrong with it.
  returned: on failure of a proof
  type: str
left_over:
  description: pm2's numbers of new processes that could not be taken back.
  returned: on failure of O(state=replaced)
  type: list
  elements: int
killed:
  description: Process ids of processes that pm2 had to kill.
  returned: with O(state=stopped), when it stopped any, or fails for that
  type: list
  elements: int
command:
  description: The program that did not end in time, secrets removed.
  returned: on that failure
  type: str
remedy:
  description: What to do about the problem that C(msg) names.
  returned: failure
  type: str
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mdlabs.ecommus.plugins.module_utils._argspec import run_module
from ansible_collections.mdlabs.ecommus.plugins.module_utils._journal_options import journal_options, noted
from ansible_collections.mdlabs.ecommus.plugins.module_utils._pm2_control import control
from ansible_collections.mdlabs.ecommus.plugins.module_utils._pm2_options import pm2_options


@noted
def run(module: AnsibleModule) -> dict[str, t.Any]:
    return control(module.params, check_mode=module.check_mode)


def main() -> None:
    run_module(
        run,
        {
            "state": {
                "type": "str",
                "choices": ["described", "alive", "started", "stopped", "restarted", "reloaded", "replaced", "deleted", "saved"],
                "default": "described",
            },
            "name": {"type": "list", "elements": "str", "default": []},
            "ecosystem_file": {"type": "path"},
            "ecosystem_env": {"type": "str"},
            "environment": {"type": "dict", "default": {}},
            **pm2_options(),
            **journal_options(),
            "ports": {"type": "list", "elements": "int", "default": []},
            "expect_path": {"type": "path"},
            "env_file": {"type": "path"},
            "env_keys": {"type": "list", "elements": "str", "default": [], "no_log": False},
            "secrets_file": {"type": "path", "no_log": False},
            "health_urls": {"type": "dict", "default": {}},
            "service_ports": {"type": "dict", "default": {}},
            "stable_seconds": {"type": "float", "default": 3.0},
            "timeout": {"type": "float", "default": 60.0},
            "stop_timeout": {"type": "float"},
            "allow_killed": {"type": "bool", "default": False},
            "instances": {"type": "int"},
            "overlap": {"type": "str", "choices": ["all", "one"], "default": "all"},
            "parallel": {"type": "int", "default": 1},
            "fork_strategy": {"type": "str", "choices": ["auto", "restart"], "default": "auto"},
            "newer_than": {"type": "float"},
            "include_stopped": {"type": "bool", "default": False},
            "allow_version_mismatch": {"type": "bool", "default": False},
            "save": {"type": "bool", "default": False},
        },
        required_if=[("state", state, ("name",)) for state in ("started", "stopped", "restarted", "reloaded", "replaced", "deleted")],
    )


if __name__ == "__main__":
    main()
