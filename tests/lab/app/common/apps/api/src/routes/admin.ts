import { and, asc, eq, isNull } from 'drizzle-orm'
import type { FastifyInstance } from 'fastify'
import { schema } from '@ecommus/db'
import { requireAdmin } from '../auth/guard.ts'
import type { Context } from '../context.ts'

const { products } = schema
const page = {
  type: 'object',
  properties: { limit: { type: 'integer', minimum: 1, maximum: 100, default: 20 } },
} as const

export function registerAdmin(app: FastifyInstance, ctx: Context): void {
  app.get<{ Querystring: { limit: number } }>('/api/admin/products', { schema: { querystring: page } }, async (request, reply) => {
    const admin = await requireAdmin(ctx, request, reply)
    if (!admin) return reply
    const items = await ctx.db
      .select({ id: products.id, sku: products.sku, name: products.name, price: products.price, attributes: products.attributes })
      .from(products)
      .where(and(eq(products.tenantId, admin.tenant.id), isNull(products.deletedAt)))
      .orderBy(asc(products.id))
      .limit(request.query.limit)
    return { items }
  })
}
