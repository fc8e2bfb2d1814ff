import { checkEnv, type Env, seconds } from '@ecommus/core'

export interface Config {
  root: string
  databaseUrl: string
  licenseToken: string
  accessSeconds: number
  refreshSeconds: number
  origins: string[]
  shopDomain: string
  runWorkers: boolean
  env: Env
}

export function readConfig(root: string, env: Env): Config {
  checkEnv(env)
  return {
    root,
    databaseUrl: env.DATABASE_URL!,
    licenseToken: env.ECOMMUS_LICENSE_JWT!,
    accessSeconds: seconds(env.JWT_EXPIRY || '15m'),
    refreshSeconds: seconds(env.JWT_REFRESH_EXPIRY || '30d'),
    origins: [env.FRONTEND_URL!, env.ADMIN_URL!],
    shopDomain: new URL(env.FRONTEND_URL!).hostname,
    runWorkers: env.ECOMMUS_WORKERS === 'true',
    env,
  }
}
