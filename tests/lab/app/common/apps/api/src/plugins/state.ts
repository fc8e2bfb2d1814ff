import type { License } from '@ecommus/core'
import type { FoundPlugin } from './manifests.ts'

/** What the platform says of a plugin: switched off in the settings, or premium and not in the licence. */
export function isEnabled(plugin: FoundPlugin, disabled: Set<string>, license: License | undefined): boolean {
  if (disabled.has(plugin.name)) return false
  return plugin.origin !== 'premium' || Boolean(license?.licensed_plugins.includes(plugin.id))
}

interface Queryable {
  query(text: string): Promise<{ rows: { name: string }[] }>
}

/** Names of the plugins that are switched off for the whole installation (settings, key plugin:<name>:enabled). */
export async function readDisabled(client: Queryable): Promise<Set<string>> {
  const { rows } = await client.query(
    `SELECT substring(key FROM '^plugin:(.*):enabled$') AS name FROM settings
     WHERE tenant_id IS NULL AND key LIKE 'plugin:%:enabled' AND value = 'false'`,
  )
  return new Set(rows.map((row) => row.name))
}
