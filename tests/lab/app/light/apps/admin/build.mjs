import { buildApp } from '@ecommus/mini-ssr/build'

await buildApp()
