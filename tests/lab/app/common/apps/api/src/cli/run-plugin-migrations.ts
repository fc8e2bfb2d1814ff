/**
 * Runs the migrations that the plugins register and the ledger does not know yet. Fault-tolerant: a failed one is
 * logged, the next plugin has its turn, and the exit code is 0 all the same.
 */
import { readFileSync } from 'node:fs'
import pg from 'pg'
import { verifyLicense } from '@ecommus/core'
import { applyMigration } from '@ecommus/db/migrations'
import { loadEnv } from '@ecommus/runtime'
import { type LoadedPlugin, loadPlugins } from '../plugins/host.ts'
import { findPlugins } from '../plugins/manifests.ts'
import { isEnabled, readDisabled } from '../plugins/state.ts'

async function run(): Promise<void> {
  const root = loadEnv(import.meta.url)
  const license = await verifyLicense(process.env.ECOMMUS_LICENSE_JWT ?? '', root)
  const client = new pg.Client({ connectionString: process.env.DATABASE_URL, application_name: 'ecommus-plugin-migrations' })
  await client.connect()
  try {
    await client.query(`CREATE TABLE IF NOT EXISTS _ecommus_plugin_migrations (
      id serial PRIMARY KEY, plugin text NOT NULL, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now(), UNIQUE (plugin, name))`)
    const disabled = await readDisabled(client)
    const found = findPlugins(root).filter((plugin) => isEnabled(plugin, disabled, license))
    for (const plugin of await loadPlugins(root, found, console.error)) await migratePlugin(client, plugin)
  } finally {
    await client.end()
  }
}

async function migratePlugin(client: pg.Client, { name: plugin, migrations }: LoadedPlugin): Promise<void> {
  const { rows } = await client.query<{ name: string }>('SELECT name FROM _ecommus_plugin_migrations WHERE plugin = $1', [plugin])
  const applied = new Set(rows.map((row) => row.name))
  for (const { name, file } of migrations.filter((migration) => !applied.has(migration.name))) {
    try {
      await applyMigration(client, readFileSync(file, 'utf8'), {
        text: 'INSERT INTO _ecommus_plugin_migrations (plugin, name) VALUES ($1, $2)',
        values: [plugin, name],
      })
      console.log(`[plugin-migrations] applied ${plugin}/${name}`)
    } catch (error) {
      console.error(`[plugin-migrations] FAILED ${plugin}/${name}: ${(error as Error).message}`)
      return // what this plugin has after it may build on what just failed
    }
  }
}

run().catch((error: Error) => {
  console.error(`[plugin-migrations] ${error.message || error}`)
  process.exitCode = 1
})
