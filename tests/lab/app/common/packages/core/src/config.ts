import { REMOVED_KEYS, REQUIRED_KEYS } from './env-keys.ts'

export class ConfigError extends Error {}

export type Env = Record<string, string | undefined>

/** Fails at boot, naming every key, rather than at the first request that needs one. */
export function checkEnv(env: Env): void {
  const problems: string[] = []
  for (const { name, minLength } of REQUIRED_KEYS) {
    const value = env[name]
    if (!value) problems.push(`${name} is not set`)
    else if (minLength && value.length < minLength) problems.push(`${name} is shorter than ${minLength} characters`)
  }
  for (const { name, remedy } of REMOVED_KEYS) {
    if (env[name]) problems.push(`${name} is no longer supported: ${remedy}`)
  }
  if (problems.length > 0) throw new ConfigError(problems.join('; '))
}

const UNITS: Record<string, number> = { s: 1, m: 60, h: 3600, d: 86400 }

/** Seconds of a duration such as 900, 15m or 30d. */
export function seconds(duration: string): number {
  const match = /^(\d+)([smhd]?)$/.exec(duration.trim())
  if (!match) throw new ConfigError(`not a duration: ${duration}`)
  return Number(match[1]) * UNITS[match[2] || 's']
}
