/** The process `ecommus-api-workers`: the job loop without a port. */
import { connect } from '@ecommus/db'
import { ConfigError } from '@ecommus/core'
import { loadEnv } from '@ecommus/runtime'
import { startJobLoop } from './jobs/loop.ts'

loadEnv(import.meta.url)
if (!process.env.DATABASE_URL) throw new ConfigError('DATABASE_URL is not set')

const db = connect(process.env.DATABASE_URL, 'ecommus-workers', 2)
const loop = startJobLoop(db, () => {
  console.log(`[workers] ready, pid ${process.pid}`)
  process.send?.('ready')
})

let stopping = false
async function stop(): Promise<void> {
  if (stopping) return
  stopping = true
  await loop.stop()
  await db.$client.end()
  console.log(`[workers] stopped, pid ${process.pid}`)
  process.exit(0)
}
process.on('SIGINT', stop)
process.on('SIGTERM', stop)
