import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** The version of the release in that root. */
export function coreVersion(root: string): string {
  return JSON.parse(readFileSync(join(root, 'packages/core/package.json'), 'utf8')).version
}

/** True when version a is at least b; both are plain x.y.z. */
export function isAtLeast(a: string, b: string): boolean {
  const [x, y] = [a, b].map((version) => version.split('.').map(Number))
  for (let i = 0; i < 3; i++) {
    if (x[i] !== y[i]) return x[i] > y[i]
  }
  return true
}
