export interface Catalogue {
  tenant: { slug: string; name: string; theme: string }
  items: { slug: string; name: string }[]
}

const TIMEOUT_MS = 5000

/** The categories of the shop that answers to that host; undefined when no shop does. */
export async function fetchCatalogue(apiUrl: string, host: string): Promise<Catalogue | undefined> {
  const response = await fetch(new URL('/api/storefront/categories', apiUrl), {
    headers: { 'x-forwarded-host': host },
    signal: AbortSignal.timeout(TIMEOUT_MS),
  })
  if (response.status === 400) return undefined
  if (!response.ok) throw new Error(`the API answered ${response.status}`)
  return response.json()
}
