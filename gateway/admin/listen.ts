/** Binding a server to an address. */
import { chmod, unlink } from 'node:fs/promises'
import { type AddressInfo, connect, type Server } from 'node:net'
import type { Address } from '../../config/config.ts'

/** @returns where it listens, with the port that was given for 0 */
export async function listen(server: Server, address: Address): Promise<Address> {
  if (!('unix' in address)) {
    await bound(server, () => server.listen(address.port, address.host))
    return { host: address.host, port: (server.address() as AddressInfo).port }
  }
  if (await isLeftOver(address.unix)) await unlink(address.unix)
  await bound(server, () => server.listen(address.unix))
  await chmod(address.unix, 0o600)
  return address
}

function bound(server: Server, start: () => void): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.once('error', reject)
  server.once('listening', () => {
    server.off('error', reject)
    resolve()
  })
  start()
  return promise
}

/** A socket file that a process left behind when it was killed: it is there and nobody listens. */
function isLeftOver(path: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const socket = connect(path)
  socket.once('connect', () => resolve(false))
  socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code === 'ECONNREFUSED'))
  return promise.finally(() => socket.destroy())
}
