export default function register(ctx) {
  ctx.registerMigration({ name: '0001_invoices', file: new URL('../migrations/0001_invoices.sql', import.meta.url) })
  ctx.registerMigration({ name: '0002_invoice_series', file: new URL('../migrations/0002_invoice_series.sql', import.meta.url) })
  ctx.registerRoute('status', () => ({ ok: true }))
}
