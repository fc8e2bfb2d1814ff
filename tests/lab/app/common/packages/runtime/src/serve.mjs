import { setTimeout as sleep } from 'node:timers/promises'

// Long enough for every keep-alive client to have seen `Connection: close`, and for the cluster primary to learn
// that this worker takes no more sockets: a worker that exits with an accepted socket unread leaves its client hanging.
const DRAIN_MS = 300
const LINGER_MS = 500
// Below the kill_timeout of the process manager, so that a stuck client cannot turn a stop into a SIGKILL.
const CLOSE_MS = 5000

/**
 * Runs an HTTP server under a process manager: says `ready` when it really is, and stops without losing a request.
 *
 * @param {object} service
 * @param {import('node:http').Server} service.server
 * @param {(address: { host: string, port: number }) => Promise<unknown>} [service.listen] defaults to server.listen(PORT, HOST)
 * @param {() => Promise<unknown>} [service.ready] resolves when requests can be answered
 * @param {() => Promise<unknown>} [service.close] releases what the process holds, after the last response
 * @param {number} service.port used when PORT is not set
 */
export async function serve({ server, port, listen, ready, close }) {
  let stopping = false
  server.prependListener('request', (_request, response) => {
    if (stopping) response.setHeader('connection', 'close')
  })

  const stop = async () => {
    if (stopping) return
    stopping = true
    await sleep(DRAIN_MS)
    const force = setTimeout(() => server.closeAllConnections(), CLOSE_MS)
    await new Promise((resolve) => server.close(resolve))
    clearTimeout(force)
    await sleep(LINGER_MS)
    await close?.()
    process.exit(0)
  }
  process.on('SIGINT', stop)
  process.on('SIGTERM', stop)

  const address = { host: process.env.HOST || '127.0.0.1', port: Number(process.env.PORT || port) }
  await (listen ? listen(address) : new Promise((resolve, reject) => server.once('error', reject).listen(address, resolve)))
  await ready?.()
  process.send?.('ready')
}
