import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** The version of the release in that root. */
export function coreVersion(root: string): string {
  return JSON.parse(readFileSync(join(root, 'packages/core/package.json'), 'utf8')).version
}

/** True when version a is at least b, by their three numbers: 1.4.1-rc.1 counts as 1.4.1. */
export function isAtLeast(a: string, b: string): boolean {
  const [x, y] = [a, b].map((version) => version.split(/[.-]/, 3).map(Number))
  for (let i = 0; i < 3; i++) {
    if (x[i] !== y[i]) return x[i] > y[i]
  }
  return true
}
