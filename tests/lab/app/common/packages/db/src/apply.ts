import { createHash } from 'node:crypto'
import type pg from 'pg'

/** The hash that the ledger keeps of a migration's text. */
export function hash(sql: string): string {
  return createHash('sha256').update(sql).digest('hex')
}

/** Runs the SQL and records it in the ledger, both or neither. */
export async function applyMigration(client: pg.ClientBase, sql: string, record: { text: string; values: unknown[] }): Promise<void> {
  await client.query('BEGIN')
  try {
    await client.query(sql)
    await client.query(record)
    await client.query('COMMIT')
  } catch (error) {
    await client.query('ROLLBACK').catch(() => {})
    throw error
  }
}
