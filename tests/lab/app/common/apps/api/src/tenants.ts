import { and, eq, sql } from 'drizzle-orm'
import type { FastifyRequest } from 'fastify'
import { schema } from '@ecommus/db'
import type { Context } from './context.ts'

const { settings, tenants } = schema
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i
const PLATFORM_DOMAIN = 'ecommus.app'

export interface Tenant {
  id: string
  slug: string
  name: string
  theme: string
}

const columns = { id: tenants.id, slug: tenants.slug, name: tenants.name, theme: tenants.theme }

/** The header X-Tenant-Id, else the sub-domain, else the custom domain of the host; only active tenants count. */
export async function resolveTenant({ db, config }: Context, request: FastifyRequest): Promise<Tenant | undefined> {
  const active = eq(tenants.status, 'active')
  const header = request.headers['x-tenant-id']
  if (header !== undefined) {
    if (typeof header !== 'string' || !UUID.test(header)) return undefined
    return (await db.select(columns).from(tenants).where(and(eq(tenants.id, header), active)))[0]
  }
  const host = request.hostname.toLowerCase()
  const [slug, ...rest] = host.split('.')
  if ([PLATFORM_DOMAIN, config.shopDomain].includes(rest.join('.'))) {
    return (await db.select(columns).from(tenants).where(and(eq(tenants.slug, slug), active)))[0]
  }
  return (
    await db
      .select(columns)
      .from(tenants)
      .innerJoin(settings, eq(settings.tenantId, tenants.id))
      .where(and(eq(settings.key, 'domain'), sql`${settings.value} #>> '{}' = ${host}`, active))
  )[0]
}
