import type { PluginContext } from '@ecommus/plugin-sdk'

export default function register(ctx: PluginContext): void {
  ctx.registerMigration('0001_points', new URL('../migrations/0001_points.sql', import.meta.url))
  ctx.registerMigration('0002_badges', new URL('../migrations/0002_badges.sql', import.meta.url))
}
