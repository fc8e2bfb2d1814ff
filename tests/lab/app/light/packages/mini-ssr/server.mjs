import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { fileURLToPath } from 'node:url'
import { loadEnv, serve, staticFiles } from '@ecommus/runtime'

/**
 * Serves a built app: its assets, its routes, and its page at /.
 *
 * @param {string} moduleUrl import.meta.url of the app's server
 * @param {number} port used when PORT is not set
 * @param {Record<string, () => unknown>} [routes] answered as JSON
 */
export async function start(moduleUrl, port, routes = {}) {
  loadEnv(moduleUrl)
  const { page } = await import(new URL('dist/page.js', moduleUrl).href)
  const assets = JSON.parse(readFileSync(new URL('dist/assets.json', moduleUrl), 'utf8'))
  const serveAsset = staticFiles(fileURLToPath(new URL('dist/client', moduleUrl)), '/assets/')

  const server = createServer(async (request, response) => {
    const path = new URL(request.url, 'http://host').pathname
    if (serveAsset(request, response)) return
    try {
      if (Object.hasOwn(routes, path)) {
        response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(routes[path]()))
      } else if (path === '/') {
        const { status = 200, html } = await page(assets, request)
        response.writeHead(status, { 'content-type': 'text/html; charset=utf-8' }).end(html)
      } else {
        response.writeHead(404).end('not found')
      }
    } catch (error) {
      console.error(error)
      response.writeHead(503).end('unavailable')
    }
  })
  await serve({ server, port })
}
