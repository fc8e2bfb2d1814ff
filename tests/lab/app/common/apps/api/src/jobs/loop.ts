import { setTimeout as sleep } from 'node:timers/promises'
import { eq, sql } from 'drizzle-orm'
import { type Database, schema } from '@ecommus/db'
import { type JobPayload, runJob } from './kinds.ts'

const { jobs } = schema
const POLL_MS = 250
const AFTER_ERROR_MS = 2000

/**
 * Takes one job after the other until it is told to stop, and finishes the job it is at.
 * Start and end of each job are in its row, with the process that ran it.
 */
export function startJobLoop(db: Database, onReady: () => void = () => {}): { stop(): Promise<void> } {
  let stopping = false
  let ready = false

  async function run(): Promise<void> {
    while (!stopping) {
      try {
        const busy = await takeOne(db)
        if (!ready) onReady()
        ready = true
        if (!busy) await sleep(POLL_MS)
      } catch (error) {
        console.error(`[workers] ${(error as Error).message}`)
        await sleep(AFTER_ERROR_MS)
      }
    }
  }

  const running = run()
  return {
    async stop() {
      stopping = true
      await running
    },
  }
}

async function takeOne(db: Database): Promise<boolean> {
  const { rows } = await db.execute<{ id: string; kind: string; payload: JobPayload }>(sql`
    UPDATE jobs SET status = 'running', started_at = now(), worker_pid = ${process.pid}
    WHERE id = (SELECT id FROM jobs WHERE status = 'queued' ORDER BY id FOR UPDATE SKIP LOCKED LIMIT 1)
    RETURNING id, kind, payload`)
  if (rows.length === 0) return false
  const id = Number(rows[0].id)
  try {
    await runJob(db, rows[0].kind, rows[0].payload)
    await db.update(jobs).set({ status: 'done', finishedAt: sql`now()` }).where(eq(jobs.id, id))
  } catch (error) {
    await db.update(jobs).set({ status: 'failed', finishedAt: sql`now()`, error: (error as Error).message }).where(eq(jobs.id, id))
  }
  return true
}
