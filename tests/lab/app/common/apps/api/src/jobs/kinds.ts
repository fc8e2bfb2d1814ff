import { setTimeout as sleep } from 'node:timers/promises'
import { sql } from 'drizzle-orm'
import type { Database } from '@ecommus/db'

export interface JobPayload {
  orderId?: number
  /** Makes any job take that long. */
  sleep_ms?: number
}

export async function runJob(db: Database, kind: string, payload: JobPayload): Promise<void> {
  if (payload.sleep_ms) await sleep(payload.sleep_ms)
  switch (kind) {
    case 'order.placed':
      await db.execute(sql`
        INSERT INTO stock_movements (product_id, order_id, quantity, reason)
        SELECT product_id, order_id, -quantity, 'order' FROM order_lines WHERE order_id = ${payload.orderId}`)
      return
    case 'noop':
      return
    default:
      throw new Error(`unknown kind of job: ${kind}`)
  }
}
