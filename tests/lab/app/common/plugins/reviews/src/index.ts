import type { PluginContext } from '@ecommus/plugin-sdk'

export default function register(ctx: PluginContext): void {
  ctx.registerMigration('0001_reviews', new URL('../migrations/0001_reviews.sql', import.meta.url))
  ctx.registerRoute('status', () => ({ ok: true }))
}
