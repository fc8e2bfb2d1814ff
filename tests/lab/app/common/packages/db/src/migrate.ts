/** Applies the core migrations that the ledger does not know yet, in the order of their names. Stops at the first failure with exit code 1. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import { loadEnv } from '@ecommus/runtime'
import { applyMigration, hash } from './apply.ts'

const LOCK = 0x65636f6d // "ecom": two runners at once take turns

async function migrate(): Promise<void> {
  const folder = join(loadEnv(import.meta.url), 'packages/db/migrations')
  const client = new pg.Client({ connectionString: process.env.DATABASE_URL, application_name: 'ecommus-migrate' })
  await client.connect()
  try {
    await client.query('SELECT pg_advisory_lock($1)', [LOCK])
    await client.query(`CREATE TABLE IF NOT EXISTS _ecommus_core_migrations (
      id serial PRIMARY KEY, name text NOT NULL UNIQUE, hash text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())`)
    const { rows } = await client.query<{ name: string }>('SELECT name FROM _ecommus_core_migrations')
    const applied = new Set(rows.map((row) => row.name))
    const pending = readdirSync(folder).filter((file) => file.endsWith('.sql')).map((file) => file.slice(0, -4)).filter((name) => !applied.has(name)).sort()
    for (const name of pending) {
      const sql = readFileSync(join(folder, `${name}.sql`), 'utf8')
      const started = Date.now()
      try {
        await applyMigration(client, sql, {
          text: 'INSERT INTO _ecommus_core_migrations (name, hash) VALUES ($1, $2)',
          values: [name, hash(sql)],
        })
      } catch (error) {
        throw new Error(`FAILED ${name}: ${(error as Error).message}`)
      }
      console.log(`[migrate] applied ${name} (${Date.now() - started} ms)`)
    }
    console.log(`[migrate] ${pending.length} applied, ${applied.size} already there`)
  } finally {
    await client.end()
  }
}

migrate().catch((error: Error) => {
  console.error(`[migrate] ${error.message || error}`)
  process.exitCode = 1
})
