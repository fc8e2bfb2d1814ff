import { createHmac } from 'node:crypto'
import type { Env } from '@ecommus/core'

/** A token by which the payment page recognises the order: <id>.<signature>. */
export function checkoutSession(env: Env, orderId: number): string {
  const signature = createHmac('sha256', env.CHECKOUT_SESSION_SECRET!).update(String(orderId)).digest('base64url')
  return `${orderId}.${signature}`
}
