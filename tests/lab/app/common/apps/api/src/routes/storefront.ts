import { and, asc, eq } from 'drizzle-orm'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { schema } from '@ecommus/db'
import type { Context } from '../context.ts'
import { OrderError, type OrderRequest, placeOrder } from '../services/orders.service.ts'
import { resolveTenant } from '../tenants.ts'

const { categories, orderLines, orders } = schema
const order = {
  type: 'object',
  required: ['email', 'lines'],
  properties: {
    email: { type: 'string', minLength: 3 },
    name: { type: 'string' },
    shipping: { type: 'object' },
    lines: {
      type: 'array',
      minItems: 1,
      items: {
        type: 'object',
        required: ['sku', 'quantity'],
        properties: { sku: { type: 'string' }, quantity: { type: 'integer', minimum: 1, maximum: 1000 } },
      },
    },
  },
} as const

export function registerStorefront(app: FastifyInstance, ctx: Context): void {
  const { db } = ctx
  const notFound = { error: 'tenant_not_found' }

  app.get('/api/storefront/categories', async (request, reply) => {
    const tenant = await resolveTenant(ctx, request)
    if (!tenant) return reply.code(400).send(notFound)
    const items = await db
      .select({ slug: categories.slug, name: categories.name })
      .from(categories)
      .where(eq(categories.tenantId, tenant.id))
      .orderBy(asc(categories.position))
    return { tenant: { slug: tenant.slug, name: tenant.name, theme: tenant.theme }, items }
  })

  app.post<{ Body: OrderRequest }>('/api/storefront/orders', { schema: { body: order } }, async (request, reply) => {
    const tenant = await resolveTenant(ctx, request)
    if (!tenant) return reply.code(400).send(notFound)
    try {
      const placed = await placeOrder(db, tenant.id, request.body)
      ctx.emit('order.placed', placed)
      return reply.code(201).send(placed)
    } catch (error) {
      if (error instanceof OrderError) return reply.code(422).send({ error: error.message })
      throw error
    }
  })

  app.get('/api/storefront/orders/:id', async (request: FastifyRequest<{ Params: { id: string } }>, reply) => {
    const tenant = await resolveTenant(ctx, request)
    if (!tenant) return reply.code(400).send(notFound)
    const id = Number(request.params.id)
    const [found] = Number.isSafeInteger(id)
      ? await db
          .select({ id: orders.id, status: orders.status, total: orders.total, placedAt: orders.placedAt })
          .from(orders)
          .where(and(eq(orders.id, id), eq(orders.tenantId, tenant.id)))
      : []
    if (!found) return reply.code(404).send({ error: 'order_not_found' })
    const lines = await db
      .select({ productId: orderLines.productId, quantity: orderLines.quantity, unitPrice: orderLines.unitPrice })
      .from(orderLines)
      .where(eq(orderLines.orderId, id))
    return { ...found, lines }
  })
}
