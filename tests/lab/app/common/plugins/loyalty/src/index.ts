import type { PluginContext } from '@ecommus/plugin-sdk'

export default function register(ctx: PluginContext): void {
  ctx.registerMigration('0001_points', new URL('../migrations/0001_points.sql', import.meta.url))
  ctx.on('order.placed', () => ctx.logger.info('points are granted when the order is paid'))
}
