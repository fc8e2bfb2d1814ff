import { createHash, randomBytes } from 'node:crypto'
import { and, eq, gt } from 'drizzle-orm'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { schema } from '@ecommus/db'
import { isPassword } from '../auth/passwords.ts'
import type { Context } from '../context.ts'
import { isWithinLimit } from '../rate-limit.ts'

const { refreshTokens, users } = schema
const COOKIE = 'refreshToken'
const credentials = {
  type: 'object',
  required: ['email', 'password'],
  properties: { email: { type: 'string' }, password: { type: 'string' } },
} as const

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')

function refreshCookie(request: FastifyRequest): string | undefined {
  return new RegExp(`(?:^|; )${COOKIE}=([^;]+)`).exec(request.headers.cookie ?? '')?.[1]
}

export function registerAuth(app: FastifyInstance, ctx: Context): void {
  const { db, tokens, config } = ctx

  app.addHook('onRequest', async (request, reply) => {
    if (request.url.startsWith('/api/admin/auth/') && !(await isWithinLimit(ctx, `auth:${request.ip}`))) {
      return reply.code(429).send({ error: 'rate_limited' })
    }
  })

  async function grant(reply: FastifyReply, user: { id: number; tenantId: string; role: string }) {
    const claims = { userId: user.id, tenantId: user.tenantId, role: user.role }
    return reply.send({ accessToken: await tokens.sign(claims, config.accessSeconds), expiresIn: config.accessSeconds })
  }

  app.post<{ Body: { email: string; password: string } }>('/api/admin/auth/login', { schema: { body: credentials } }, async (request, reply) => {
    const [user] = await db.select().from(users).where(and(eq(users.email, request.body.email), eq(users.active, true)))
    if (!user || !(await isPassword(request.body.password, user.passwordHash))) return reply.code(401).send({ error: 'invalid_credentials' })
    const refresh = randomBytes(32).toString('base64url')
    const expiresAt = new Date(Date.now() + config.refreshSeconds * 1000)
    await db.insert(refreshTokens).values({ userId: user.id, tokenHash: sha256(refresh), expiresAt })
    reply.header('set-cookie', `${COOKIE}=${refresh}; HttpOnly; Secure; SameSite=Strict; Path=/api/admin/auth; Max-Age=${config.refreshSeconds}`)
    return grant(reply, user)
  })

  app.post('/api/admin/auth/refresh', async (request, reply) => {
    const [found] = await db
      .select({ id: users.id, tenantId: users.tenantId, role: users.role })
      .from(refreshTokens)
      .innerJoin(users, eq(users.id, refreshTokens.userId))
      .where(and(eq(refreshTokens.tokenHash, sha256(refreshCookie(request) ?? '')), gt(refreshTokens.expiresAt, new Date()), eq(users.active, true)))
    return found ? grant(reply, found) : reply.code(401).send({ error: 'unauthorized' })
  })

  app.post('/api/admin/auth/logout', async (request, reply) => {
    await db.delete(refreshTokens).where(eq(refreshTokens.tokenHash, sha256(refreshCookie(request) ?? '')))
    return reply.code(204).send()
  })
}
