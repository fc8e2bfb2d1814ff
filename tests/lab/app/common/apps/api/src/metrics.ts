import { sql } from 'drizzle-orm'
import type { FastifyInstance } from 'fastify'
import type { Database } from '@ecommus/db'

/** GET /metrics. The request counters are those of the process that answers, as Prometheus client libraries have it. */
export function registerMetrics(app: FastifyInstance, db: Database): void {
  const requests = new Map<string, number>()
  app.addHook('onResponse', async (request, reply) => {
    const labels = `method="${request.method}",route="${request.routeOptions.url ?? 'none'}",status="${reply.statusCode}"`
    requests.set(labels, (requests.get(labels) ?? 0) + 1)
  })

  app.get('/metrics', async (_request, reply) => {
    const jobs = await db.execute<{ status: string; count: string }>(
      sql`SELECT status, count(*) FROM jobs WHERE status IN ('queued', 'running') GROUP BY status`,
    )
    const open = Object.fromEntries(jobs.rows.map((row) => [row.status, row.count]))
    const lines = [
      '# HELP ecommus_http_requests_total Responses of this process.',
      '# TYPE ecommus_http_requests_total counter',
      ...[...requests].map(([labels, count]) => `ecommus_http_requests_total{${labels}} ${count}`),
      '# HELP ecommus_jobs Jobs that are not finished.',
      '# TYPE ecommus_jobs gauge',
      ...['queued', 'running'].map((status) => `ecommus_jobs{status="${status}"} ${open[status] ?? 0}`),
      '# HELP process_start_time_seconds Start of this process, Unix seconds.',
      '# TYPE process_start_time_seconds gauge',
      `process_start_time_seconds ${(Date.now() / 1000 - process.uptime()).toFixed(0)}`,
      '# HELP process_resident_memory_bytes Resident memory of this process.',
      '# TYPE process_resident_memory_bytes gauge',
      `process_resident_memory_bytes ${process.memoryUsage.rss()}`,
      '',
    ]
    return reply.type('text/plain; version=0.0.4').send(lines.join('\n'))
  })
}
