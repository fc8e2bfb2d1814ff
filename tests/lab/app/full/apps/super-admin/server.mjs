import { createServer } from 'node:http'
import { fileURLToPath } from 'node:url'
import { loadEnv, serve } from '@ecommus/runtime'
import next from 'next'

loadEnv(import.meta.url)
const app = next({ dev: false, dir: fileURLToPath(new URL('.', import.meta.url)) })
await app.prepare()
const handle = app.getRequestHandler()
await serve({ server: createServer((request, response) => handle(request, response)), port: 3002, close: () => app.close() })
