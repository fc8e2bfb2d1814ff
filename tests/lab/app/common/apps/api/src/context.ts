import type { License } from '@ecommus/core'
import type { Database } from '@ecommus/db'
import type { Config } from './config.ts'
import type { Tokens } from './auth/tokens.ts'
import type { LoadedPlugin } from './plugins/host.ts'

/** What every route needs; made once at boot, and holding nothing that the other API processes would have to know. */
export interface Context {
  config: Config
  db: Database
  license: License
  tokens: Tokens
  plugins: LoadedPlugin[]
  emit(event: string, payload: unknown): void
}
