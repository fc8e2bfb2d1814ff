import { writeFile } from 'node:fs/promises'
import { basename } from 'node:path'
import { build } from 'esbuild'

/** Builds src/client.ts and src/style.css into dist/client with hashed names, and src/page.ts into dist/page.js. */
export async function buildApp() {
  const { metafile } = await build({
    entryPoints: ['src/client.ts', 'src/style.css'],
    outdir: 'dist/client',
    entryNames: '[name]-[hash]',
    bundle: true,
    minify: true,
    metafile: true,
    logLevel: 'warning',
  })
  const names = Object.keys(metafile.outputs).map((path) => basename(path))
  const assets = {
    script: `/assets/${names.find((name) => name.endsWith('.js'))}`,
    style: `/assets/${names.find((name) => name.endsWith('.css'))}`,
  }
  await build({ entryPoints: ['src/page.ts'], outfile: 'dist/page.js', bundle: true, format: 'esm', platform: 'node', logLevel: 'warning' })
  await writeFile('dist/assets.json', JSON.stringify(assets))
}
