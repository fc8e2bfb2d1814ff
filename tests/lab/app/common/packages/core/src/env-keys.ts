/** What the API needs in its environment before it boots. One file, so that a release that changes the keys changes it alone. */
export const REQUIRED_KEYS: { name: string; minLength?: number }[] = [
  { name: 'DATABASE_URL' },
  { name: 'JWT_SECRET', minLength: 32 },
  { name: 'ECOMMUS_LICENSE_JWT' },
  { name: 'ECOMMUS_DATA_KEY', minLength: 32 },
  { name: 'STORAGE_LOCAL_DIR' },
  { name: 'FRONTEND_URL' },
  { name: 'ADMIN_URL' },
]

export const REMOVED_KEYS: { name: string; remedy: string }[] = []
