import { drizzle, type NodePgDatabase } from 'drizzle-orm/node-postgres'
import pg from 'pg'
import * as schema from './schema.ts'

export type Database = NodePgDatabase<typeof schema> & { $client: pg.Pool }

/** A small pool: several processes share one server. The name is what an operator sees in pg_stat_activity. */
export function connect(url: string, name: string, max = 5): Database {
  const pool = new pg.Pool({ connectionString: url, max, connectionTimeoutMillis: 3000, application_name: name })
  // An idle connection that the server ends (restart, restore) must cost a reconnect, not the process.
  pool.on('error', (error) => console.error(`[db] connection lost: ${error.message}`))
  return drizzle(pool, { schema })
}
