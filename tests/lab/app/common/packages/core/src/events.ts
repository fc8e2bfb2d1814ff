export const EVENTS = [
  'user.registered', 'user.logged_in', 'cart.updated', 'cart.abandoned', 'order.placed', 'order.paid', 'order.shipped',
  'order.delivered', 'order.cancelled', 'order.refunded', 'payment.succeeded', 'payment.failed', 'inventory.low',
  'product.viewed', 'search.performed',
] as const

export type EventName = (typeof EVENTS)[number]
