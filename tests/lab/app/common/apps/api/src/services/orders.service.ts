import { and, eq, inArray, isNull } from 'drizzle-orm'
import { type Database, schema } from '@ecommus/db'

const { customers, jobs, orderLines, orders, products } = schema

export interface OrderRequest {
  email: string
  name?: string
  shipping?: Record<string, unknown>
  lines: { sku: string; quantity: number }[]
}

export class OrderError extends Error {}

/** Writes the customer, the order, its lines and the job that follows it up, all or nothing. */
export async function placeOrder(db: Database, tenantId: string, request: OrderRequest): Promise<{ id: number; total: string }> {
  return db.transaction(async (tx) => {
    const skus = request.lines.map((line) => line.sku)
    const found = await tx
      .select({ id: products.id, sku: products.sku, price: products.price })
      .from(products)
      .where(and(eq(products.tenantId, tenantId), inArray(products.sku, skus), isNull(products.deletedAt)))
    const bySku = new Map(found.map((product) => [product.sku, product]))
    const unknown = skus.find((sku) => !bySku.has(sku))
    if (unknown !== undefined) throw new OrderError(`unknown_sku: ${unknown}`)

    const [customer] = await tx
      .insert(customers)
      .values({ tenantId, email: request.email, name: request.name ?? request.email })
      .onConflictDoUpdate({ target: [customers.tenantId, customers.email], set: { email: request.email } })
      .returning({ id: customers.id })
    const lines = request.lines.map(({ sku, quantity }) => {
      const product = bySku.get(sku)!
      return { productId: product.id, quantity, unitPrice: product.price }
    })
    const total = lines.reduce((sum, line) => sum + Math.round(Number(line.unitPrice) * 100) * line.quantity, 0) / 100
    const [order] = await tx
      .insert(orders)
      .values({ tenantId, customerId: customer.id, total: total.toFixed(2), shipping: request.shipping ?? {} })
      .returning({ id: orders.id, total: orders.total })
    await tx.insert(orderLines).values(lines.map((line) => ({ orderId: order.id, ...line })))
    await tx.insert(jobs).values({ kind: 'order.placed', payload: { orderId: order.id } })
    return order
  })
}
