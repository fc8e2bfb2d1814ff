export default function register(ctx) {
  ctx.registerMigration({ name: '0001_awbs', file: new URL('../migrations/0001_awbs.sql', import.meta.url) })
  ctx.registerRoute('status', () => ({ ok: true }))
}
