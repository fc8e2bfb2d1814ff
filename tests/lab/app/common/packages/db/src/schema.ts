import { bigint, boolean, integer, jsonb, numeric, pgEnum, pgTable, text, timestamp, uuid } from 'drizzle-orm/pg-core'

const id = () => bigint('id', { mode: 'number' }).primaryKey().generatedAlwaysAsIdentity()
const tenantId = () => uuid('tenant_id').notNull()
const createdAt = () => timestamp('created_at', { withTimezone: true }).notNull().defaultNow()

export const tenantStatus = pgEnum('tenant_status', ['active', 'suspended', 'archived'])
export const orderStatus = pgEnum('order_status', ['pending', 'paid', 'shipped', 'delivered', 'cancelled', 'refunded'])
export const jobStatus = pgEnum('job_status', ['queued', 'running', 'done', 'failed'])

export const tenants = pgTable('tenants', {
  id: uuid('id').primaryKey().defaultRandom(),
  slug: text('slug').notNull().unique(),
  name: text('name').notNull(),
  status: tenantStatus('status').notNull().default('active'),
  theme: text('theme').notNull(),
  createdAt: createdAt(),
})

export const settings = pgTable('settings', {
  id: id(),
  tenantId: uuid('tenant_id'),
  key: text('key').notNull(),
  value: jsonb('value').notNull(),
})

export const users = pgTable('users', {
  id: id(),
  tenantId: tenantId(),
  email: text('email').notNull(),
  passwordHash: text('password_hash').notNull(),
  role: text('role').notNull(),
  active: boolean('active').notNull().default(true),
  createdAt: createdAt(),
})

export const refreshTokens = pgTable('refresh_tokens', {
  id: id(),
  userId: bigint('user_id', { mode: 'number' }).notNull(),
  tokenHash: text('token_hash').notNull().unique(),
  expiresAt: timestamp('expires_at', { withTimezone: true }).notNull(),
  createdAt: createdAt(),
})

export const categories = pgTable('categories', {
  id: id(),
  tenantId: tenantId(),
  slug: text('slug').notNull(),
  name: text('name').notNull(),
  position: integer('position').notNull().default(0),
})

export const products = pgTable('products', {
  id: id(),
  tenantId: tenantId(),
  categoryId: bigint('category_id', { mode: 'number' }).notNull(),
  sku: text('sku').notNull(),
  name: text('name').notNull(),
  price: numeric('price', { precision: 12, scale: 2 }).notNull(),
  attributes: jsonb('attributes').notNull(),
  createdAt: createdAt(),
  deletedAt: timestamp('deleted_at', { withTimezone: true }),
})

export const customers = pgTable('customers', {
  id: id(),
  tenantId: tenantId(),
  email: text('email').notNull(),
  name: text('name').notNull(),
  createdAt: createdAt(),
})

export const orders = pgTable('orders', {
  id: id(),
  tenantId: tenantId(),
  customerId: bigint('customer_id', { mode: 'number' }).notNull(),
  status: orderStatus('status').notNull().default('pending'),
  total: numeric('total', { precision: 12, scale: 2 }).notNull(),
  shipping: jsonb('shipping').notNull(),
  placedAt: timestamp('placed_at', { withTimezone: true }).notNull().defaultNow(),
})

export const orderLines = pgTable('order_lines', {
  id: id(),
  orderId: bigint('order_id', { mode: 'number' }).notNull(),
  productId: bigint('product_id', { mode: 'number' }).notNull(),
  quantity: integer('quantity').notNull(),
  unitPrice: numeric('unit_price', { precision: 12, scale: 2 }).notNull(),
})

export const stockMovements = pgTable('stock_movements', {
  id: id(),
  productId: bigint('product_id', { mode: 'number' }).notNull(),
  orderId: bigint('order_id', { mode: 'number' }),
  quantity: integer('quantity').notNull(),
  reason: text('reason').notNull(),
  createdAt: createdAt(),
})

export const jobs = pgTable('jobs', {
  id: id(),
  kind: text('kind').notNull(),
  payload: jsonb('payload').notNull(),
  status: jobStatus('status').notNull().default('queued'),
  workerPid: integer('worker_pid'),
  error: text('error'),
  createdAt: createdAt(),
  startedAt: timestamp('started_at', { withTimezone: true }),
  finishedAt: timestamp('finished_at', { withTimezone: true }),
})
