# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A release's tree with what the migration runner needs: migrations, and the two programs, really run by node."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
DRIVERS = REPO / ".cache" / "node-drivers"

_CONNECT = {
    "pg": """
import pg from 'pg'
const client = new pg.Client({ connectionString: process.env.DATABASE_URL })
await client.connect()
const query = async (text: string, values: string[] = []): Promise<any[]> => (await client.query(text, values)).rows ?? []
const close = () => client.end()
""",
    "postgres": """
import postgres from 'postgres'
const sql = postgres(process.env.DATABASE_URL!, { max: 1, onnotice: () => {} })
const query = async (text: string, values: string[] = []): Promise<any[]> =>
  values.length ? await sql.unsafe(text, values) : await sql.unsafe(text).simple()
const close = () => sql.end()
""",
}

_CORE = """
import fs from 'node:fs'
%s
try { process.loadEnvFile('.env') } catch {}
await query(`CREATE TABLE IF NOT EXISTS _ecommus_core_migrations
  (id serial, name text UNIQUE, hash text, applied_at timestamptz DEFAULT now())`)
const done = new Set((await query('SELECT name FROM _ecommus_core_migrations')).map((row) => row.name))
for (const file of fs.readdirSync('packages/db/migrations').filter((f) => f.endsWith('.sql')).sort()) {
  const name = file.slice(0, -4)
  if (done.has(name)) continue
  console.log(`[migrate] ${name}`)
  try {
    await query('BEGIN')
    await query(fs.readFileSync(`packages/db/migrations/${file}`, 'utf8'))
    await query('INSERT INTO _ecommus_core_migrations (name) VALUES ($1)', [name])
    await query('COMMIT')
  } catch (error: any) {
    console.error(`[migrate] FAILED ${name}: ${error.message} (${process.env.DATABASE_URL})`)
    await close()
    process.exit(1)
  }
}
await close()
__END__
"""

_PLUGINS = """
import fs from 'node:fs'
import path from 'node:path'
%s
await query(`CREATE TABLE IF NOT EXISTS _ecommus_plugin_migrations
  (id serial, plugin text, name text, applied_at timestamptz DEFAULT now(), UNIQUE (plugin, name))`)
const done = new Set((await query('SELECT plugin, name FROM _ecommus_plugin_migrations')).map((row) => `${row.plugin}/${row.name}`))
for (const folder of [...fs.globSync('plugins/*'), ...fs.globSync('node_modules/@*/*')].sort()) {
  const manifest = JSON.parse(fs.readFileSync(path.join(folder, 'package.json'), 'utf8'))
  if (manifest.ecommus?.kind !== 'plugin' || !fs.existsSync(path.join(folder, 'migrations'))) continue
  for (const file of fs.readdirSync(path.join(folder, 'migrations')).sort()) {
    const name = file.slice(0, -4)
    if (done.has(`${manifest.name}/${name}`)) continue
    try {
      await query('BEGIN')
      await query(fs.readFileSync(path.join(folder, 'migrations', file), 'utf8'))
      await query('INSERT INTO _ecommus_plugin_migrations (plugin, name) VALUES ($1, $2)', [manifest.name, name])
      await query('COMMIT')
      console.log(`[plugin-migrations] applied ${manifest.name}/${name}`)
    } catch (error: any) {
      await query('ROLLBACK')
      console.error(`[plugin-migrations] FAILED ${manifest.name}/${name}: ${error.message}`)
    }
  }
}
await close()
"""

_LIST = """
import fs from 'node:fs'
import path from 'node:path'
for (const folder of [...fs.globSync('plugins/*'), ...fs.globSync('node_modules/@*/*')].sort()) {
  if (fs.lstatSync(folder).isSymbolicLink()) continue
  const manifest = JSON.parse(fs.readFileSync(path.join(folder, 'package.json'), 'utf8'))
  const origin = folder.startsWith('plugins') ? 'built-in' : 'premium'
  if (manifest.ecommus) console.log(`${manifest.name}@${manifest.version}  ${origin}  enabled`)
}
"""


def install_drivers(tools: Path) -> None:
    """Install both drivers of Drizzle once."""
    if not (DRIVERS / "node_modules" / "postgres").is_dir():
        DRIVERS.mkdir(parents=True, exist_ok=True)
        command = [tools / "npm", "install", "--no-audit", "--no-fund", "--prefix", DRIVERS, "pg@8", "postgres@3"]
        env = {**os.environ, "PATH": f"{tools}:/usr/local/bin:/usr/bin:/bin", "npm_config_cache": str(DRIVERS / "cache")}
        subprocess.run(command, check=True, capture_output=True, timeout=180, cwd=DRIVERS, env=env)


@dataclass
class Release:
    """A tree that is changed by the tests as releases would be."""

    root: Path
    driver: str = "pg"

    def create(self, url: str) -> Release:
        (self.root / "node_modules").mkdir(parents=True)
        for package in (DRIVERS / "node_modules").iterdir():
            if not package.name.startswith("."):
                (self.root / "node_modules" / package.name).symlink_to(package)
        connect = _CONNECT[self.driver]
        self.write("package.json", json.dumps({"type": "module"}))
        self.write("packages/db/src/migrate.ts", (_CORE % connect).replace("__END__", ""))
        self.write("apps/api/src/cli/run-plugin-migrations.ts", _PLUGINS % connect)
        self.write("apps/api/src/cli/list-plugins.ts", _LIST)
        self.write(".env", f"DATABASE_URL='{url}'\nJWT_SECRET=signs-all-the-tokens\n")
        self.core("0001_init", "CREATE TABLE orders (id serial PRIMARY KEY, total int); INSERT INTO orders (total) VALUES (1)")
        self.core("0002_notes", "ALTER TABLE orders ADD COLUMN note text")
        self.plugin("plugins/reviews", "reviews", "1.0.0", {"0001_reviews": "CREATE TABLE reviews (id serial PRIMARY KEY)"})
        self.plugin("node_modules/@ecommus-plugin/efactura-ro", "@ecommus-plugin/efactura-ro", "1.2.0", {"0001_invoices": "SELECT 1"})
        self.write("node_modules/@acme/no-plugin/package.json", json.dumps({"name": "@acme/no-plugin", "version": "1.0.0"}))
        self.write("node_modules/@acme/no-plugin/migrations/0001_not_ours.sql", "SELECT 1")
        # npm links workspaces into node_modules.
        self.plugin("plugins/erp", "@acme/erp", "0.9.0", {})
        (self.root / "node_modules/@acme/erp").symlink_to("../../plugins/erp")
        return self

    def write(self, path: str, content: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)

    def core(self, name: str, sql: str) -> None:
        self.write(f"packages/db/migrations/{name}.sql", sql)

    def plugin(self, folder: str, name: str, version: str, migrations: dict[str, str]) -> None:
        self.write(f"{folder}/package.json", json.dumps({"name": name, "version": version, "ecommus": {"kind": "plugin"}}))
        for migration, sql in migrations.items():
            self.write(f"{folder}/migrations/{migration}.sql", sql)

    def core_runner_ends_with(self, code: str) -> None:
        """Append *code* to the core runner."""
        script = self.root / "packages/db/src/migrate.ts"
        script.write_text(script.read_text() + code)
