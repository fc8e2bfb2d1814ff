import { createReadStream, statSync } from 'node:fs'
import { extname, join, normalize } from 'node:path'

const TYPES = { '.css': 'text/css', '.js': 'text/javascript', '.svg': 'image/svg+xml', '.html': 'text/html', '.json': 'application/json' }

/**
 * Serves files of a folder whose names carry a hash of their content.
 *
 * @param {string} folder
 * @param {string} prefix the part of the URL path that is answered from the folder, with both slashes
 * @returns {(request: import('node:http').IncomingMessage, response: import('node:http').ServerResponse) => boolean} whether it answered
 */
export function staticFiles(folder, prefix) {
  return (request, response) => {
    const path = new URL(request.url, 'http://host').pathname
    if (!path.startsWith(prefix)) return false
    const file = join(folder, normalize(`/${path.slice(prefix.length)}`))
    const size = statSync(file, { throwIfNoEntry: false })?.size
    if (size === undefined) {
      response.writeHead(404).end('not found')
      return true
    }
    response.writeHead(200, {
      'content-type': TYPES[extname(file)] ?? 'application/octet-stream',
      'content-length': size,
      'cache-control': 'public, max-age=31536000, immutable',
    })
    createReadStream(file).pipe(response)
    return true
  }
}
