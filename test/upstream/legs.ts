/** An exchange and its leg without a gateway around them, for tests that talk to a backend directly. */
import { type Answer, type Backend, type Body, type Caller, Exchange, type Flow, Leg, type Sink } from '../../gateway/exchange.ts'
import type { WeirError } from '../../gateway/errors.ts'

export interface Asked {
  readonly x: Exchange
  readonly leg: Leg
  /** Informational answers passed on. */
  readonly informed: number[]
}

/** An exchange for `backend`; nothing is sent yet. */
export function exchangeFor(backend: Backend, method = 'GET', body: Body = null, more: { target?: string; headers?: string[]; upgrade?: string; trailers?: boolean } = {}): Asked {
  const informed: number[] = []
  const caller: Caller = { address: '127.0.0.1', port: 1, tls: false, trailers: more.trailers ?? false, inform: (status) => void informed.push(status) }
  const leg = new Leg(backend)
  const x = new Exchange({
    method, target: more.target ?? '/', headers: more.headers ?? ['Host', 'a.test'], body, caller, route: { name: 'r', format: null, maxBodyBytes: 1 << 20 }, minor: 1,
    upgrade: more.upgrade ?? '', requestId: 'id', inferenceId: 'id', started: 0, leg, slots: 0,
  })
  return { x, leg, informed }
}

/** Sends and waits for the answer. */
export async function send(backend: Backend, asked: Asked): Promise<Answer> {
  return backend.send(asked.x, asked.leg)
}

/** The code `send` rejects with. @throws when it does not */
export async function refusal(sent: Promise<Answer>): Promise<string> {
  try {
    const answer = await sent
    return `answered ${answer.status}`
  } catch (error) {
    return (error as WeirError).code
  }
}

/** All of a body. @returns the text, and the code it failed with or null */
export function collect(body: Body): Promise<{ text: string; code: string | null; trailers: string[] | null }> {
  if (body === null || Buffer.isBuffer(body)) return Promise.resolve({ text: body?.toString('latin1') ?? '', code: null, trailers: null })
  return new Promise((resolve) => {
    let text = ''
    body.start({
      data: (chunk) => ((text += chunk.toString('latin1')), true),
      end: (trailers) => resolve({ text, code: null, trailers }),
      fail: (error) => resolve({ text, code: error.code, trailers: null }),
    })
  })
}

/** A request body that a test feeds. */
export class FedFlow implements Flow {
  readonly length: number
  readonly calls: string[] = []
  sink: Sink | null = null
  constructor(length = -1) {
    this.length = length
  }
  start(sink: Sink): void {
    this.calls.push('start')
    this.sink = sink
  }
  pause(): void {
    this.calls.push('pause')
  }
  resume(): void {
    this.calls.push('resume')
  }
  cancel(): void {
    this.calls.push('cancel')
    this.sink = null
  }
}
