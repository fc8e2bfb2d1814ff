/** Boots one API process. What is wrong with its configuration is said at once, and nothing is listened on. */
import { setTimeout as sleep } from 'node:timers/promises'
import { sql } from 'drizzle-orm'
import { ConfigError, isExpired, LicenseError, verifyLicense } from '@ecommus/core'
import { connect } from '@ecommus/db'
import { loadEnv, serve } from '@ecommus/runtime'
import { buildApp } from './app.ts'
import { createTokens } from './auth/tokens.ts'
import { readConfig } from './config.ts'
import type { Context } from './context.ts'
import { startJobLoop } from './jobs/loop.ts'
import { loadPlugins } from './plugins/host.ts'
import { findPlugins } from './plugins/manifests.ts'
import { isEnabled, readDisabled } from './plugins/state.ts'

async function boot(): Promise<void> {
  const root = loadEnv(import.meta.url)
  const config = readConfig(root, process.env)
  const license = await verifyLicense(config.licenseToken, root)
  if (isExpired(license)) throw new LicenseError('licence refused: it has expired')
  const db = connect(config.databaseUrl, 'ecommus-api')
  const disabled = await untilDatabase(() => readDisabled(db.$client))
  const found = findPlugins(root).filter((plugin) => isEnabled(plugin, disabled, license))
  const plugins = await loadPlugins(root, found, console.log)
  const ctx: Context = {
    config, db, license, plugins,
    tokens: await createTokens(config.env),
    emit(event, payload) {
      for (const { listeners } of plugins) listeners.filter((entry) => entry.event === event).forEach((entry) => entry.listener(payload))
    },
  }
  const app = buildApp(ctx)
  const loop = config.runWorkers ? startJobLoop(db) : undefined
  await serve({
    server: app.server,
    port: 4000,
    listen: (address) => app.listen(address),
    ready: () => untilDatabase(() => db.execute(sql`SELECT 1`)),
    async close() {
      await loop?.stop()
      await app.close()
      await db.$client.end()
    },
  })
  console.log(`[api] ready, pid ${process.pid}`)
}

/** A database that starts later than the API, as after a reboot, is waited for; the process manager sets the limit. */
async function untilDatabase<T>(attempt: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await attempt()
    } catch (error) {
      console.error(`[api] waiting for the database: ${(error as Error).message || error}`)
      await sleep(1000)
    }
  }
}

boot().catch((error: Error) => {
  const expected = error instanceof ConfigError || error instanceof LicenseError
  console.error(expected ? `[api] refusing to boot: ${error.message}` : `[api] ${error.stack}`)
  process.exit(1)
})
