import { sql } from 'drizzle-orm'
import type { FastifyInstance } from 'fastify'
import type { Context } from '../context.ts'

export function registerHealth(app: FastifyInstance, { db }: Context): void {
  app.get('/health', async (_request, reply) => {
    try {
      await db.execute(sql`SELECT 1`)
      return { ok: true, checks: { database: 'ok' } }
    } catch {
      return reply.code(503).send({ ok: false, checks: { database: 'unreachable' } })
    }
  })
}
