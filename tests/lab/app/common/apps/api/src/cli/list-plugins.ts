/** Prints one line per plugin, sorted by name: <name>@<version>  <origin>  enabled|disabled. Reads the settings where it can, writes nothing. */
import pg from 'pg'
import { type License, verifyLicense } from '@ecommus/core'
import { loadEnv } from '@ecommus/runtime'
import { findPlugins } from '../plugins/manifests.ts'
import { isEnabled, readDisabled } from '../plugins/state.ts'

const root = loadEnv(import.meta.url)

async function disabledPlugins(): Promise<Set<string>> {
  const client = new pg.Client({ connectionString: process.env.DATABASE_URL, connectionTimeoutMillis: 3000, application_name: 'ecommus-list-plugins' })
  try {
    await client.connect()
    return await readDisabled(client)
  } catch (error) {
    console.error(`[list-plugins] settings not read, every plugin is taken for switched on: ${(error as Error).message}`)
    return new Set()
  } finally {
    await client.end().catch(() => {})
  }
}

async function license(): Promise<License | undefined> {
  try {
    return await verifyLicense(process.env.ECOMMUS_LICENSE_JWT ?? '', root)
  } catch (error) {
    console.error(`[list-plugins] ${(error as Error).message}`)
    return undefined
  }
}

const [disabled, licensed] = [await disabledPlugins(), await license()]
for (const plugin of findPlugins(root)) {
  console.log(`${plugin.name}@${plugin.version}  ${plugin.origin}  ${isEnabled(plugin, disabled, licensed) ? 'enabled' : 'disabled'}`)
}
