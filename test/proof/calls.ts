/** Callers of a running weir, some of whom do not wait for their answer. */
import { Agent, request } from 'node:http'

export interface Answered {
  readonly status: number
  readonly body: string
}

/** Connections are kept, one a request under way. */
export class Callers {
  readonly #agent = new Agent({ keepAlive: true })

  /** @param leave_ms when to hang up if there is no answer by then @returns null when it left */
  post(port: number, path: string, body: string, leave_ms: number | null = null): Promise<Answered | null> {
    return new Promise((resolve, reject) => {
      const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
      const asked = request({ host: '127.0.0.1', port, path, method: 'POST', agent: this.#agent, headers }, (answer) => {
        const chunks: Buffer[] = []
        answer.on('data', (chunk: Buffer) => chunks.push(chunk))
        answer.on('end', () => {
          clearTimeout(timer)
          resolve({ status: answer.statusCode!, body: Buffer.concat(chunks).toString() })
        })
      })
      let left = false
      const timer = leave_ms === null ? undefined : setTimeout(() => {
        left = true
        asked.destroy()
      }, leave_ms)
      asked.on('close', () => left && resolve(null))
      asked.on('error', (error) => !left && reject(error))
      asked.end(body)
    })
  }

  close(): void {
    this.#agent.destroy()
  }
}
