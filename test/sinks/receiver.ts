/** An HTTP server (node:http) that keeps what it gets, and answers as a test says. */
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'

export interface Received {
  readonly method: string
  readonly url: string
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
  /** Which connection, by the order of their beginning. */
  readonly connection: number
}

export interface Receiver {
  readonly port: number
  readonly url: string
  readonly received: Received[]
  /** What the next requests get; without, 202. */
  answer: (request: Received, response: ServerResponse) => void
  connections(): number
  stop(): Promise<void>
}

export async function startReceiver(): Promise<Receiver> {
  const received: Received[] = []
  const sockets = new Map<Socket, number>()
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const one = { method: request.method!, url: request.url!, headers: request.headers, body: Buffer.concat(chunks), connection: sockets.get(request.socket)! }
      received.push(one)
      receiver.answer(one, response)
    })
  })
  server.on('connection', (socket) => sockets.set(socket, sockets.size))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const receiver: Receiver = {
    port, url: `http://127.0.0.1:${port}`, received,
    answer: (_request, response) => void response.writeHead(202).end(),
    connections: () => sockets.size,
    stop: () => {
      for (const socket of sockets.keys()) socket.destroy()
      return new Promise((resolve) => server.close(() => resolve()))
    },
  }
  return receiver
}

/** The header value as a receiver of CloudEvents reads it. */
export const decodedField = (value: string | string[] | undefined): string => decodeURIComponent(String(value))
