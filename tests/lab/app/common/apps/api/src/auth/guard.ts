import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Context } from '../context.ts'
import { resolveTenant, type Tenant } from '../tenants.ts'
import type { Claims } from './tokens.ts'

export interface AdminRequest {
  claims: Claims
  tenant: Tenant
}

/** requireAuth, resolveTenant, requireTenant: answers 401, 400 or 403 itself and then returns nothing. */
export async function requireAdmin(ctx: Context, request: FastifyRequest, reply: FastifyReply): Promise<AdminRequest | undefined> {
  const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1]
  const claims = token ? await ctx.tokens.verify(token).catch(() => undefined) : undefined
  if (!claims) {
    await reply.code(401).send({ error: 'unauthorized' })
    return
  }
  const tenant = await resolveTenant(ctx, request)
  if (!tenant) {
    await reply.code(400).send({ error: 'tenant_not_found' })
    return
  }
  if (tenant.id !== claims.tenantId && claims.role !== 'super_admin') {
    await reply.code(403).send({ error: 'tenant_forbidden' })
    return
  }
  return { claims, tenant }
}
