import { jwtVerify, SignJWT } from 'jose'
import type { Env } from '@ecommus/core'

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
  const key = new TextEncoder().encode(env.JWT_SECRET)
  return {
    sign: ({ userId, tenantId, role }, seconds) =>
      new SignJWT({ tenant: tenantId, role })
        .setProtectedHeader({ alg: 'HS256' })
        .setSubject(String(userId))
        .setIssuedAt()
        .setExpirationTime(`${seconds}s`)
        .sign(key),
    async verify(token) {
      const { payload } = await jwtVerify(token, key, { algorithms: ['HS256'] })
      return { userId: Number(payload.sub), tenantId: payload.tenant as string, role: payload.role as string }
    },
  }
}
