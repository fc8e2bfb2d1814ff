# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads an ecosystem file and starts processes from it, with pm2's own code in a short-lived node.

pm2's command line cannot start a second set of processes beside a running one from an ecosystem file: ``pm2 start FILE`` restarts
what runs under the name, ``--force`` applies to scripts only (pm2 7.0.4 lib/API.js ``_startJson``). Its library can: when it is told that
nothing runs yet, it starts the definition as it stands in the file, with every option that a file may have.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils._command import run
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._pm2 import Pm2

_MARK = "ECOMMUS-ANSWER:"

# stdin: {package, do: read|add|restart|duplicate, file, only, env, instances, together, id, extra, node_options, moves, to}. The answer
# is the marked line of stdout. With "to", a read puts that directory in the place of those in "moves", and tells all that it takes to
# start the processes.
_SCRIPT = r"""
'use strict'
const fs = require('fs'), path = require('path')
const ask = JSON.parse(fs.readFileSync(0, 'utf8'))
// what only quietens pm2 itself must not become part of a process's environment
const QUIET = ['NO_COLOR', 'PM2_DISCRETE_MODE']
const Common = require(path.join(ask.package, 'lib', 'Common.js'))
const answer = (data) => { fs.writeSync(1, '\nECOMMUS-ANSWER:' + JSON.stringify(data) + '\n'); process.exit(0) }
const text = (error) => [].concat(error).map((e) => e && e.message ? e.message : String(e)).join('; ')
process.on('uncaughtException', (error) => answer({ error: text(error) }))

// A path that the directory lacks is left as it is, unless it must be there: it belongs to the shop and not to a release.
function moved (value, must) {
  if (Array.isArray(value)) return value.map((item) => moved(item, must))
  if (typeof value !== 'string') return value
  return ask.moves.reduce((text, from) => text.replace(
    new RegExp('(^|[=:,;\\s]|file://)' + from.replace(/[^\w/]/g, '\\$&') + '(/[^=:,;\\s]*)?(?=$|[=:,;\\s])', 'g'),
    (all, before, rest = '') => must || fs.existsSync(ask.to + rest) ? before + ask.to + rest : all), value)
}

function move (app, env) {
  for (const key of ['cwd', 'script']) app[key] = moved(app[key], true)
  for (const key of ['args', 'node_args', 'exec_interpreter']) app[key] = moved(app[key], false)
  app.env = Object.fromEntries(Object.entries(env).map(([key, value]) => [key, moved(value, false)]))
}

const plain = (env) => Object.entries(env).filter(([key, value]) => value != null && typeof value !== 'object')
  .map(([key, value]) => [key, String(value)])

function whole (full) {
  return { args: [].concat(full.args || []), node_args: [].concat(full.node_args || []), interpreter: full.exec_interpreter,
    env: Object.fromEntries(plain(full.env).filter(([key]) => !QUIET.includes(key))) }
}

function read () {
  const conf = Common.parseConfig(fs.readFileSync(ask.file), ask.file)
  let apps = [].concat(conf.apps || conf.pm2 || conf)
  apps = Common.verifyConfs(apps)
  if (apps instanceof Error) throw apps
  return apps.map((app) => {
    const env = Object.assign({}, app.env, ask.env ? app['env_' + ask.env] : {})
    const line = { name: app.name, exec_mode: app.exec_mode, instances: app.instances, wait_ready: app.wait_ready,
      listen_timeout: app.listen_timeout, kill_timeout: app.kill_timeout, port: env.PORT, env_keys: Object.keys(env).sort(),
      given: Object.fromEntries(plain(env).filter(([key]) => key !== app.increment_var)) }
    if (ask.to) move(app, env)
    try {
      const full = Common.resolveAppAttributes({ cwd: process.cwd(), pm2_home: process.env.PM2_HOME }, Object.assign({}, app))
      return Object.assign(line, { cwd: full.pm_cwd, script: full.pm_exec_path, exec_mode: full.exec_mode }, ask.to ? whole(full) : {})
    } catch (error) { return Object.assign(line, { error: text(error) }) }
  })
}

function act () {
  for (const key of QUIET) delete process.env[key]
  const pm2 = require(ask.package)
  pm2.Client.launchDaemon = (options, cb) => (cb || options)(new Error('the pm2 daemon is gone'))
  pm2.connect((error) => {
    if (error) return answer({ error: text(error) })
    pm2.launchBus((error, bus) => {
      const ready = []
      if (!error) bus.on('process:msg', (packet) => { if (packet.raw === 'ready') ready.push(packet.process.pm_id) })
      const send = pm2.Client.executeRemote.bind(pm2.Client)
      const remote = (method, argument, cb) => {
        if (argument && argument.env) delete argument.env.PM2_PROGRAMMATIC
        return send(method, argument, cb)
      }
      pm2.Client.executeRemote = remote
      // That a process is ready may be heard of here a moment after pm2 has heard it.
      const done = (error, started, looks = 20) => {
        const fresh = [].concat(started || []).filter((p) => p && p.pm2_env).map((p) => p.pm2_env)
        const heard = fresh.length && fresh.every((env) => ready.includes(env.pm_id) || !env.wait_ready)
        if (!heard && looks > 0) setTimeout(done, 5, error, started, looks - 1)
        else answer({ error: error ? text(error) : null, ready, ids: fresh.map((env) => env.pm_id) })
      }
      if (ask.do === 'duplicate') return remote('duplicateProcessId', ask.id, done)
      const options = { only: ask.only, instances: ask.instances }
      if (ask.env) options.env = ask.env
      if (ask.do === 'restart') return pm2.restart(ask.file, options, done)
      // pm2 starts the instances of a name one after the other. In cluster mode each has its number before the next is asked for.
      const together = (argument, cb) => {
        const started = [], errors = []
        let open = argument.instances
        const ended = (error, more) => {
          (error ? errors : started).push(...[].concat(error || more || []))
          open -= 1
          if (open === 0) cb(errors.length ? new Error(text(errors)) : null, started)
        }
        for (let i = argument.instances; i > 0; i--) remote('prepare', Object.assign({}, argument, { instances: 1 }), ended)
      }
      pm2.Client.executeRemote = (method, argument, cb) => {
        if (method === 'getMonitorData') return cb(null, [])
        if (method === 'prepare') Object.assign(argument.env, ask.extra)
        if (method === 'prepare' && ask.node_options) {
          argument.env.NODE_OPTIONS = [argument.env.NODE_OPTIONS, ask.node_options].filter(Boolean).join(' ')
        }
        if (method === 'prepare' && ask.together && argument.exec_mode === 'cluster_mode') return together(argument, cb)
        return remote(method, argument, cb)
      }
      pm2.start(ask.file, options, done)
    })
  })
}

if (ask.do === 'read') answer({ apps: read() })
else act()
"""


@dataclasses.dataclass(frozen=True)
class App:
    """One process of an ecosystem file, as pm2 would start it. ``error`` says why it could not; ``env_keys`` are names only."""

    name: str
    exec_mode: str
    instances: int | None
    cwd: str | None
    script: str | None
    wait_ready: bool
    listen_timeout_ms: int | None
    kill_timeout_ms: int | None
    port: int | None
    env_keys: tuple[str, ...]
    error: str | None


@dataclasses.dataclass(frozen=True)
class Started:
    """What a start through pm2's library brought: new ids, and those of them that told pm2 that they are ready."""

    ids: tuple[int, ...]
    ready: frozenset[int]
    error: str | None


@dataclasses.dataclass(frozen=True)
class Ecosystem:
    """An ecosystem file of a pm2 installation.

    :param file: absolute path; pm2 recognises it by ``.config.js``, ``.config.cjs``, ``.config.mjs``, ``.json``, ``.yml``
        or ``.yaml`` in its name.
    :param environment: name of the ``env_<name>`` block to merge, as with ``pm2 start --env``.
    """

    pm2: Pm2
    file: str
    environment: str | None = None

    @functools.cached_property
    def apps(self) -> dict[str, App]:
        """The processes that the file defines, by name, in its order; evaluated once, it costs a start of node.

        :raises EcommusError: when the file is missing, is not recognised by pm2, or does not evaluate.
        """
        return {str(app["name"]): _app(app) for app in self._defined}

    @functools.cached_property
    def _defined(self) -> list[dict[str, t.Any]]:
        return self.read()

    def environment_of(self, name: str) -> dict[str, str]:
        """What the file gives *name*, as the process will have it. Never to be shown."""
        return next((dict(app["given"]) for app in self._defined if app["name"] == name), {})

    def read(self, **more: t.Any) -> list[dict[str, t.Any]]:
        """The processes as the node script describes them.

        :param more: ``moves`` and ``to``, for the processes of another directory; then their environments are in the answer.
        """
        if not os.path.isfile(self.file):
            raise EcommusError(f"the ecosystem file {self.file} does not exist", "correct ecosystem_file")
        if not any(part in os.path.basename(self.file) for part in (".json", ".yml", ".yaml", ".config.js", ".config.cjs", ".config.mjs")):
            raise EcommusError(
                f"pm2 would run {self.file} as a program instead of reading it", "name it *.config.cjs, *.config.js or *.json"
            )
        answer = self._node({"do": "read", "env": self.environment, **more}, timeout=30)
        if answer.get("error"):
            raise EcommusError(
                f"the ecosystem file {self.file} cannot be read: {answer['error']}",
                "correct the file; `node -e 'require(FILE)'` shows the error",
            )
        return t.cast("list[dict[str, t.Any]]", answer["apps"])

    def app(self, name: str) -> App:
        """The definition of *name*, fit to be started.

        :raises EcommusError: when the file does not define it (``pm2 --only`` would do nothing and report success),
            or its script is missing.
        """
        apps = self.apps
        if name not in apps:
            raise EcommusError(f"{self.file} defines no process {name}", f"use one of: {', '.join(apps) or 'none'}")
        if apps[name].error:
            raise EcommusError(
                f"{name} of {self.file} cannot be started: {apps[name].error}",
                "correct cwd and script in the ecosystem file, or build the release",
            )
        return apps[name]

    def add(
        self,
        name: str,
        *,
        instances: int | None,
        timeout: float,
        together: bool = False,
        node_options: str | None = None,
        environment: t.Mapping[str, str] | None = None,
    ) -> Started:
        """Start *name* as the file defines it now, beside whatever runs under that name.

        :param instances: how many; None starts as many as the file says.
        :param timeout: seconds until all of them are ready.
        :param together: whether several *instances* in cluster mode come up at the same time.
        :param node_options: to add to NODE_OPTIONS of the process.
        :param environment: variables that it gets on top of those of the file.
        """
        more = {"together": together, "node_options": node_options, "extra": dict(environment or {})}
        return self._started({"do": "add", "only": name, "instances": instances, "env": self.environment, **more}, timeout)

    def restart(self, name: str, *, timeout: float) -> Started:
        """Restart everything that runs as *name*, with the environment that the file gives it now."""
        return self._started({"do": "restart", "only": name, "env": self.environment}, timeout)

    def _started(self, request: dict[str, t.Any], timeout: float) -> Started:
        return _started(self._node(request, timeout))

    def _node(self, request: dict[str, t.Any], timeout: float) -> dict[str, t.Any]:
        return ask(self.pm2, {**request, "file": self.file}, directory=os.path.dirname(self.file), timeout=timeout)


def duplicate(pm2: Pm2, pm_id: int, *, timeout: float) -> Started:
    """Start one more process like *pm_id*, under its name and with its environment, for an install without an ecosystem file."""
    return _started(ask(pm2, {"do": "duplicate", "id": pm_id}, directory="/", timeout=timeout))


def ask(pm2: Pm2, request: dict[str, t.Any], *, directory: str, timeout: float) -> dict[str, t.Any]:
    """Let the node script carry out *request*; its answer, which has an ``error`` when pm2 reported one."""
    if request["do"] != "read":
        pm2.daemon_pid()
    result = run(
        [pm2.program("node"), "-e", _SCRIPT],
        env=pm2.environment,
        cwd=directory,
        timeout=timeout,
        stdin=json.dumps({**request, "package": pm2.package}),
    )
    for line in reversed(result.output.splitlines()):
        if line.startswith(_MARK):
            return t.cast("dict[str, t.Any]", json.loads(line[len(_MARK) :]))
    raise EcommusError("pm2's library gave no answer", "check that pm2 and node fit each other", log=result.tail().splitlines())


def _started(answer: dict[str, t.Any]) -> Started:
    return Started(tuple(answer.get("ids") or ()), frozenset(answer.get("ready") or ()), answer.get("error"))


def _app(app: t.Mapping[str, t.Any]) -> App:
    mode = str(app.get("exec_mode") or "fork")
    return App(
        name=str(app["name"]),
        exec_mode="cluster" if mode.startswith("cluster") else "fork",
        instances=_int(app.get("instances")),
        cwd=app.get("cwd"),
        script=app.get("script"),
        wait_ready=app.get("wait_ready") in (True, "true"),
        listen_timeout_ms=_int(app.get("listen_timeout")),
        kill_timeout_ms=_int(app.get("kill_timeout")),
        port=_int(app.get("port")),
        env_keys=tuple(app.get("env_keys") or ()),
        error=app.get("error"),
    )


def _int(value: t.Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError):
        return None
