/** A server whose backlog is full: connections to it are never accepted and never refused. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import net from 'node:net'
import { pause } from './scripted.ts'

/** Listens with a backlog of one and then stands still, without using the processor. */
const STILL = `
require('node:net').createServer().listen(0, '127.0.0.1', 1, function () {
  require('node:fs').writeSync(1, String(this.address().port))
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
})`
const MOST_SOCKETS = 64

export interface DeafServer {
  readonly port: number
  stop(): void
}

export async function startDeafServer(): Promise<DeafServer> {
  const child: ChildProcess = spawn(process.execPath, ['-e', STILL], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [text] = (await once(child.stdout!, 'data')) as [Buffer]
  const port = Number(text.toString())
  const sockets: net.Socket[] = []
  const stop = (): void => {
    for (const socket of sockets) socket.destroy()
    child.kill('SIGKILL')
  }
  while (sockets.length < MOST_SOCKETS) {
    const socket = net.connect(port, '127.0.0.1').on('error', () => undefined)
    sockets.push(socket)
    if (!(await Promise.race([once(socket, 'connect').then(() => true), pause(200).then(() => false)]))) return { port, stop }
  }
  stop()
  throw new Error(`a backlog of one took ${MOST_SOCKETS} connections`)
}
