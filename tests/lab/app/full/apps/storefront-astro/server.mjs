import { createServer } from 'node:http'
import { fileURLToPath } from 'node:url'
import { loadEnv, serve, staticFiles } from '@ecommus/runtime'

loadEnv(import.meta.url)
const { handler } = await import('./dist/server/entry.mjs')
const serveAsset = staticFiles(fileURLToPath(new URL('dist/client/_astro', import.meta.url)), '/_astro/')

const server = createServer((request, response) => {
  if (serveAsset(request, response)) return
  handler(request, response, (error) => {
    if (error) console.error(error)
    response.writeHead(error ? 503 : 404).end(error ? 'unavailable' : 'not found')
  })
})
await serve({ server, port: 3000 })
