import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { build } from 'esbuild'

const options = { bundle: true, format: 'esm', platform: 'node', target: 'node22', sourcemap: true, logLevel: 'warning' }

await build({
  ...options,
  entryPoints: ['src/server.ts', 'src/workers.ts'],
  outdir: 'dist',
  external: ['drizzle-orm', 'drizzle-orm/*', 'fastify', 'jose', 'pg'],
})

// The plugins of the tree run inside the API, so they are built with it; each into its own dist/.
const plugins = '../../plugins'
for (const name of readdirSync(plugins)) {
  const source = join(plugins, name, 'src/index.ts')
  if (existsSync(source)) await build({ ...options, entryPoints: [source], outfile: join(plugins, name, 'dist/index.js') })
}
