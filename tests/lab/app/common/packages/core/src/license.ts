import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { compactVerify, decodeProtectedHeader, importSPKI } from 'jose'

/** The claims of ECOMMUS_LICENSE_JWT. Times are Unix seconds; support_until is telemetry and never blocks. */
export interface License {
  install_id: string
  tier: string
  kind: 'perpetual' | 'trial' | 'saas-monthly'
  features: string[]
  licensed_themes: string[]
  licensed_plugins: string[]
  niche_packages: string[]
  domain_binding: string[]
  issued_at: number
  expires_at: number | null
  support_until: number
  customer_email: string
}

export class LicenseError extends Error {}

/** Verifies the signature against the public key that this release ships for the token's kid. */
export async function verifyLicense(token: string, root: string): Promise<License> {
  try {
    const { kid } = decodeProtectedHeader(token)
    if (!kid || !/^[\w-]+$/.test(kid)) throw new Error('the token names no key id')
    let pem: string
    try {
      pem = readFileSync(join(root, 'packages/core/keys', `${kid}.pem`), 'utf8')
    } catch {
      throw new Error(`this release does not know the key id ${kid}`)
    }
    const { payload } = await compactVerify(token, await importSPKI(pem, 'EdDSA'), { algorithms: ['EdDSA'] })
    return JSON.parse(new TextDecoder().decode(payload))
  } catch (error) {
    throw new LicenseError(`licence refused: ${(error as Error).message}`)
  }
}

export function isExpired(license: License, now: number = Date.now() / 1000): boolean {
  return license.expires_at !== null && license.expires_at <= now
}

/** A licence is bound to one root domain with everything below it; loopback is always allowed. */
export function coversHost(license: License, host: string): boolean {
  if (host === 'localhost' || host === '127.0.0.1' || host === '::1') return true
  return license.domain_binding.some((root) => host === root || host.endsWith(`.${root}`))
}
