import { createPrivateKey, createPublicKey } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { jwtVerify, SignJWT } from 'jose'
import { ConfigError, type Env } from '@ecommus/core'

export interface Claims {
  userId: number
  tenantId: string
  role: string
}

export interface Tokens {
  sign(claims: Claims, seconds: number): Promise<string>
  /** Throws on a token that is forged, expired or of another kind. */
  verify(token: string): Promise<Claims>
}

export async function createTokens(env: Env): Promise<Tokens> {
  const privateKey = readKey(env.JWT_PRIVATE_KEY_FILE!)
  const publicKey = createPublicKey(privateKey)
  return {
    sign: ({ userId, tenantId, role }, seconds) =>
      new SignJWT({ tenant: tenantId, role })
        .setProtectedHeader({ alg: 'EdDSA', kid: env.JWT_KEY_ID })
        .setSubject(String(userId))
        .setIssuedAt()
        .setExpirationTime(`${seconds}s`)
        .sign(privateKey),
    async verify(token) {
      const { payload } = await jwtVerify(token, publicKey, { algorithms: ['EdDSA'] })
      return { userId: Number(payload.sub), tenantId: payload.tenant as string, role: payload.role as string }
    },
  }
}

function readKey(file: string) {
  try {
    const key = createPrivateKey(readFileSync(file))
    if (key.asymmetricKeyType !== 'ed25519') throw new Error('not an Ed25519 key')
    return key
  } catch (error) {
    throw new ConfigError(`JWT_PRIVATE_KEY_FILE ${file}: ${(error as Error).message}`)
  }
}
