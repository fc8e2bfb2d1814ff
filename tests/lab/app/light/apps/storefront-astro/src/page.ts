import type { IncomingMessage } from 'node:http'
import { fetchCatalogue } from '@ecommus/client'
import fashion from '@ecommus/theme-fashion'
import { checkTheme } from '@ecommus/theme-sdk'

const theme = checkTheme(fashion)

export async function page(assets: { script: string; style: string }, request: IncomingMessage): Promise<{ status?: number; html: string }> {
  const host = String(request.headers['x-forwarded-host'] ?? request.headers.host)
  const catalogue = await fetchCatalogue(process.env.API_URL ?? 'http://127.0.0.1:4000', host)
  if (!catalogue) return { status: 404, html: '<!doctype html><title>no such shop</title>' }
  const items = catalogue.items.map(({ slug, name }) => `<li><a href="/c/${slug}">${name}</a></li>`).join('')
  return {
    html: `<!doctype html><html lang="ro"><head><meta charset="utf-8"><title>${catalogue.tenant.name}</title>
<link rel="stylesheet" href="${assets.style}"><script type="module" src="${assets.script}"></script></head>
<body>${theme.slots.header}<main><h1>${catalogue.tenant.name}</h1><ul>${items}</ul></main>${theme.slots.footer}</body></html>`,
  }
}
