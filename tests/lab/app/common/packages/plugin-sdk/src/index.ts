/** The contract between the API and its plugins: types only, so that a built plugin needs nothing from here at run time. */

export type Permission = 'db.migrate' | 'events.subscribe' | 'routes.register' | 'admin.ui.inject'

/** The `ecommus` block of a plugin's package.json. */
export interface PluginManifest {
  kind: 'plugin'
  /** Lowest @ecommus/core this plugin runs on. */
  minCoreVersion: string
  permissions: Permission[]
  /** Names of the plugins that must be loaded before this one. */
  dependencies?: string[]
  /** Default ./src/index.ts */
  entrypoint?: string
}

export interface PluginContext {
  readonly name: string
  readonly logger: { info(message: string): void; warn(message: string): void }
  /** Adds a migration; `file` is SQL, and `name` its file name without the extension. */
  registerMigration(name: string, file: URL): void
  /** Adds GET /api/plugins/<id>/<path>. */
  registerRoute(path: string, handler: () => unknown): void
  /** Calls the listener for every event of that name. */
  on(event: string, listener: (payload: unknown) => void): void
}

export type Plugin = (ctx: PluginContext) => void | Promise<void>
