import { existsSync, readdirSync, readFileSync, realpathSync } from 'node:fs'
import { join } from 'node:path'
import type { PluginManifest } from '@ecommus/plugin-sdk'

export type Origin = 'built-in' | 'premium' | 'private'

export interface FoundPlugin {
  /** The npm name, with its scope. */
  name: string
  /** The bare name that licences and routes use. */
  id: string
  version: string
  origin: Origin
  folder: string
  manifest: PluginManifest
}

const VENDOR_SCOPE = '@ecommus-plugin'

/** All plugins of an installation: the folders of plugins/, and what npm installed from the vendor's scope. Sorted by name. */
export function findPlugins(root: string): FoundPlugin[] {
  const inTree = read(join(root, 'plugins'), (name) => (name.startsWith(`${VENDOR_SCOPE}/`) ? 'built-in' : 'private'))
  const installed = read(join(root, 'node_modules', VENDOR_SCOPE), () => 'premium')
  return [...inTree, ...installed].sort((a, b) => (a.name < b.name ? -1 : 1))
}

function read(parent: string, originOf: (name: string) => Origin): FoundPlugin[] {
  if (!existsSync(parent)) return []
  return readdirSync(parent).flatMap((entry) => {
    const file = join(parent, entry, 'package.json')
    if (!existsSync(file)) return []
    const { name, version, ecommus } = JSON.parse(readFileSync(file, 'utf8'))
    if (ecommus?.kind !== 'plugin') return []
    const found = { name, id: name.split('/').pop(), version, origin: originOf(name), folder: realpathSync(join(parent, entry)), manifest: ecommus }
    return [found]
  })
}

/** Each plugin after those that it depends on; one whose dependency is missing comes last and fails to load. */
export function inLoadOrder(plugins: FoundPlugin[]): FoundPlugin[] {
  const byName = new Map(plugins.map((plugin) => [plugin.name, plugin]))
  const ordered = new Set<FoundPlugin>()
  const visit = (plugin: FoundPlugin, path: FoundPlugin[]) => {
    if (ordered.has(plugin) || path.includes(plugin)) return
    for (const name of plugin.manifest.dependencies ?? []) {
      const dependency = byName.get(name)
      if (dependency) visit(dependency, [...path, plugin])
    }
    ordered.add(plugin)
  }
  plugins.forEach((plugin) => visit(plugin, []))
  return [...ordered]
}
