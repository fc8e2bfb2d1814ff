import { start } from '@ecommus/mini-ssr/server'

await start(import.meta.url, 3000)
