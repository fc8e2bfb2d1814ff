import { sql } from 'drizzle-orm'
import type { Context } from './context.ts'

const WINDOW = '1 minute'
const LIMIT = 10

/** Counts one request of that key and says whether it is still within 10 a minute. Kept in the database: there are several API processes. */
export async function isWithinLimit({ db }: Context, key: string): Promise<boolean> {
  const { rows } = await db.execute<{ requests: number }>(sql`
    INSERT INTO rate_limits AS r (key) VALUES (${key})
    ON CONFLICT (key) DO UPDATE SET
      requests = CASE WHEN r.window_started_at < now() - ${WINDOW}::interval THEN 1 ELSE r.requests + 1 END,
      window_started_at = CASE WHEN r.window_started_at < now() - ${WINDOW}::interval THEN now() ELSE r.window_started_at END
    RETURNING requests`)
  return rows[0].requests <= LIMIT
}
