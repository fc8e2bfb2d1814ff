import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/**
 * The root of the monorepo that a module belongs to: the first folder above its real path whose package.json has workspaces.
 * Node resolves links before it sets import.meta.url, so a process that was started through a link finds its own release.
 *
 * @param {string} moduleUrl import.meta.url of the caller
 * @returns {string}
 */
export function findRoot(moduleUrl) {
  let folder = dirname(fileURLToPath(moduleUrl))
  while (folder !== dirname(folder)) {
    const manifest = join(folder, 'package.json')
    if (existsSync(manifest) && 'workspaces' in JSON.parse(readFileSync(manifest, 'utf8'))) return folder
    folder = dirname(folder)
  }
  throw new Error(`no ecommus root above ${fileURLToPath(moduleUrl)}`)
}

/**
 * Reads <root>/.env into process.env, where what is already set wins.
 *
 * @param {string} moduleUrl import.meta.url of the caller
 * @returns {string} the root
 */
export function loadEnv(moduleUrl) {
  const root = findRoot(moduleUrl)
  const file = join(root, '.env')
  if (existsSync(file)) process.loadEnvFile(file)
  return root
}
