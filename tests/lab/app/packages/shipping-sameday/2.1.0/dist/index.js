export default function register(ctx) {
  ctx.registerMigration('0001_awbs', new URL('../migrations/0001_awbs.sql', import.meta.url))
  ctx.registerRoute('status', () => ({ ok: true }))
}
