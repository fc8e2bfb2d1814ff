/** Slots every theme has to fill, and those it may. Stable within a major version. */
export const REQUIRED_SLOTS = ['header', 'footer'] as const
export const OPTIONAL_SLOTS = ['sidebar'] as const

export interface Theme {
  name: string
  colors: { accent: string; background: string }
  slots: Record<string, string>
}

/** Throws when a theme leaves a required slot empty or fills one that this release does not know. */
export function checkTheme(theme: Theme): Theme {
  const missing = REQUIRED_SLOTS.filter((slot) => !theme.slots[slot])
  const known: readonly string[] = [...REQUIRED_SLOTS, ...OPTIONAL_SLOTS]
  const unknown = Object.keys(theme.slots).filter((slot) => !known.includes(slot))
  if (missing.length > 0) throw new Error(`theme ${theme.name} lacks the slots ${missing.join(', ')}`)
  if (unknown.length > 0) throw new Error(`theme ${theme.name} fills slots that do not exist: ${unknown.join(', ')}`)
  return theme
}
