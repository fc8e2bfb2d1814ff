export default function register(ctx) {
  ctx.registerMigration('0001_invoices', new URL('../migrations/0001_invoices.sql', import.meta.url))
  ctx.registerMigration('0002_invoice_series', new URL('../migrations/0002_invoice_series.sql', import.meta.url))
  ctx.registerRoute('status', () => ({ ok: true }))
}
