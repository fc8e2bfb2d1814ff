export default function register(ctx) {
  ctx.registerMigration('0001_invoices', new URL('../migrations/0001_invoices.sql', import.meta.url))
  ctx.registerRoute('status', () => ({ ok: true }))
}
