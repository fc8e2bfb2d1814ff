import Fastify, { type FastifyInstance } from 'fastify'
import { coversHost, isExpired } from '@ecommus/core'
import type { Context } from './context.ts'
import { registerMetrics } from './metrics.ts'
import { registerAdmin } from './routes/admin.ts'
import { registerAuth } from './routes/auth.ts'
import { registerHealth } from './routes/health.ts'
import { registerStorefront } from './routes/storefront.ts'

export function buildApp(ctx: Context): FastifyInstance {
  const app = Fastify({ trustProxy: 'loopback', return503OnClosing: false, bodyLimit: 1024 * 1024 })

  app.addHook('onRequest', async (request, reply) => {
    const origin = request.headers.origin
    if (origin && ctx.config.origins.includes(origin)) reply.header('access-control-allow-origin', origin).header('vary', 'origin')
    if (!request.url.startsWith('/api/')) return
    if (isExpired(ctx.license)) return reply.code(403).send({ error: 'license_expired' })
    if (!coversHost(ctx.license, request.hostname)) return reply.code(403).send({ error: 'license_domain' })
  })
  app.setErrorHandler(async (error: Error & { statusCode?: number }, _request, reply) => {
    const status = error.statusCode ?? 500
    if (status >= 500) console.error(`[api] ${error.stack}`)
    return reply.code(status).send({ error: status >= 500 ? 'internal_error' : error.message })
  })

  registerMetrics(app, ctx.db)
  registerHealth(app, ctx)
  registerAuth(app, ctx)
  registerAdmin(app, ctx)
  registerStorefront(app, ctx)
  for (const plugin of ctx.plugins) {
    for (const { path, handler } of plugin.routes) app.get(`/api/plugins/${plugin.id}/${path}`, async () => handler())
  }
  return app
}
