import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { coreVersion, isAtLeast } from '@ecommus/core'
import type { Permission, PluginContext } from '@ecommus/plugin-sdk'
import { type FoundPlugin, inLoadOrder } from './manifests.ts'

export interface LoadedPlugin extends FoundPlugin {
  migrations: { name: string; file: URL }[]
  routes: { path: string; handler: () => unknown }[]
  listeners: { event: string; listener: (payload: unknown) => void }[]
  /** Why it did not load; the host runs on without it. */
  error?: string
}

/** Imports every plugin and lets it register what it offers. A plugin that fails never takes its host down. */
export async function loadPlugins(root: string, plugins: FoundPlugin[], log: (line: string) => void): Promise<LoadedPlugin[]> {
  const host = coreVersion(root)
  const loaded: LoadedPlugin[] = []
  for (const found of inLoadOrder(plugins)) {
    const plugin: LoadedPlugin = { ...found, migrations: [], routes: [], listeners: [] }
    loaded.push(plugin)
    try {
      if (!isAtLeast(host, found.manifest.minCoreVersion)) throw new Error(`needs core ${found.manifest.minCoreVersion}, this is ${host}`)
      const missing = found.manifest.dependencies?.find((name) => !loaded.some((other) => other.name === name && !other.error))
      if (missing) throw new Error(`needs the plugin ${missing}`)
      const { default: register } = await import(pathToFileURL(entrypoint(found)).href)
      await register(contextOf(plugin, log))
    } catch (error) {
      plugin.error = (error as Error).message
      log(`[plugins] ${found.name} not loaded: ${plugin.error}`)
    }
  }
  return loaded
}

/** The built file where there is one and this process is built too; the TypeScript source for the command line tools. */
function entrypoint({ folder, manifest }: FoundPlugin): string {
  const source = join(folder, manifest.entrypoint ?? './src/index.ts')
  const built = join(folder, 'dist/index.js')
  return !import.meta.url.endsWith('.ts') && existsSync(built) ? built : source
}

function contextOf(plugin: LoadedPlugin, log: (line: string) => void): PluginContext {
  const need = (permission: Permission) => {
    if (plugin.manifest.permissions.includes(permission)) return
    const message = `${plugin.name} did not declare the permission ${permission}`
    if (process.env.NODE_ENV === 'production') throw new Error(message)
    log(`[plugins] ${message}`)
  }
  return {
    name: plugin.name,
    logger: { info: (message) => log(`[${plugin.id}] ${message}`), warn: (message) => log(`[${plugin.id}] ${message}`) },
    registerMigration(name, file) {
      need('db.migrate')
      plugin.migrations.push({ name, file })
    },
    registerRoute(path, handler) {
      need('routes.register')
      plugin.routes.push({ path, handler })
    },
    on(event, listener) {
      need('events.subscribe')
      plugin.listeners.push({ event, listener })
    },
  }
}
