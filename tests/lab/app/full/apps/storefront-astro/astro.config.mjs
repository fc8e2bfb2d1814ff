import node from '@astrojs/node'
import { defineConfig } from 'astro/config'

export default defineConfig({
  output: 'server',
  adapter: node({ mode: 'middleware' }),
  build: { inlineStylesheets: 'never' },
  // The TypeScript packages of the monorepo are built in: at run time Node takes JavaScript only.
  vite: { ssr: { noExternal: ['@ecommus/client', '@ecommus/theme-sdk', '@ecommus/theme-fashion'] } },
})
