/** The proxy one writes in an afternoon: node:http in front, undici behind, nothing else. `node node_undici.ts PORT UPSTREAM` */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { Pool } from 'undici'

const [port, upstream] = process.argv.slice(2)
const pool = new Pool(upstream!, { connections: 128, pipelining: 1 })
const HOP = new Set(['connection', 'host', 'keep-alive', 'transfer-encoding'])

function endToEnd(raw: readonly string[]): string[] {
  const kept: string[] = []
  for (let i = 0; i < raw.length; i += 2) if (!HOP.has(raw[i]!.toLowerCase())) kept.push(raw[i]!, raw[i + 1]!)
  return kept
}

function forward(request: IncomingMessage, response: ServerResponse, body: Buffer): void {
  const handler: Parameters<Pool['dispatch']>[1] = {
    onRequestStart() {},
    onResponseStart(controller, status) {
      const raw = (controller.rawHeaders as Buffer[]).map((part) => part.toString('latin1'))
      response.writeHead(status, endToEnd(raw))
    },
    onResponseData(controller, chunk) {
      if (response.write(chunk)) return
      controller.pause()
      response.once('drain', () => controller.resume())
    },
    onResponseEnd() {
      response.end()
    },
    onResponseError() {
      if (!response.headersSent) response.writeHead(502)
      response.end()
    },
  }
  pool.dispatch({ path: request.url!, method: request.method as 'POST', headers: endToEnd(request.rawHeaders), body }, handler)
}

const server = createServer((request, response) => {
  const chunks: Buffer[] = []
  request.on('data', (chunk: Buffer) => chunks.push(chunk))
  request.on('end', () => forward(request, response, chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)))
})
server.listen(Number(port), '127.0.0.1', 4096)
