/** A provider that breaks on purpose: raw bytes on raw sockets, one fault a case, and a record of every request that came. */
import { answer, type ReceivedRequest } from '../blackbox/message.ts'
import { pause, type Peer, Upstream } from '../blackbox/scripted.ts'
import { completion, events, type Kind, STREAM_HEAD, tensor, whole } from './bodies.ts'

export type Role = 'primary' | 'fallback'

/** One request as the provider saw it. */
export interface Call {
  readonly kind: Kind
  readonly model: string
  /** Counted from 1, for this role of this case. */
  readonly nth: number
  readonly at: number
  readonly body: string
  readonly peer: Peer
}

export type Fault = (call: Call) => unknown

export class Provider {
  readonly upstream: Upstream
  readonly #faults = new Map<string, { readonly kind: Kind; readonly fault: Fault; readonly calls: Call[] }>()
  /** Paths of cases whose health checks fail. */
  readonly down = new Set<string>()
  /** Health checks by path. */
  readonly checks = new Map<string, number>()

  private constructor(upstream: Upstream) {
    this.upstream = upstream
    upstream.onRequest = (request, peer) => this.#serve(request, peer)
  }

  static async listen(): Promise<Provider> {
    return new Provider(await Upstream.listen())
  }

  url(name: string, role: Role): string {
    return `http://127.0.0.1:${this.upstream.port}/${name}/${role}`
  }

  /** How this role of the case behaves from now on. @returns the record, which fills */
  play(name: string, role: Role, kind: Kind, fault: Fault): readonly Call[] {
    const calls: Call[] = []
    this.#faults.set(`/${name}/${role}`, { kind, fault, calls })
    return calls
  }

  get calls(): readonly Call[] {
    return [...this.#faults.values()].flatMap(({ calls }) => calls)
  }

  async #serve(request: ReceivedRequest, peer: Peer): Promise<void> {
    const key = request.target.split('/').slice(0, 3).join('/')
    if (request.method === 'GET') {
      this.checks.set(key, (this.checks.get(key) ?? 0) + 1)
      await peer.send(answer(this.down.has(key) ? 503 : 200))
      return
    }
    const { kind, fault, calls } = this.#faults.get(key)!
    const call: Call = { kind, model: `${key.endsWith('primary') ? 'primary' : 'fallback'}-model`, nth: calls.length + 1, at: performance.now(), body: request.body.toString(), peer }
    calls.push(call)
    await fault(call)
  }
}

// ---------------------------------------------------------------- what it can do

const JSON_TYPE = 'Content-Type: application/json'
const jsonHead = (length: number): string => `HTTP/1.1 200 OK\r\n${JSON_TYPE}\r\nContent-Length: ${length}\r\n\r\n`

export function refuse(status: number, code: string, lines: readonly string[] = []): Fault {
  const body = JSON.stringify({ error: { message: 'as scripted', type: 'some_error', code } })
  return ({ peer }) => peer.send(answer(status, [JSON_TYPE, ...lines], body))
}

/** A stream up to where something happens, or all of it. */
async function stream({ peer, model }: Call, to: number = Infinity, more: { readonly broken?: boolean; readonly done?: boolean } = {}): Promise<void> {
  const { role, words, broken, finish, usage, done, end } = events(model)
  await peer.send(STREAM_HEAD, role)
  for (const [i, word] of words.entries()) {
    if (i >= to) return
    if (more.broken === true && i === 10) await peer.send(broken)
    await peer.send(word)
    if (i % 4 === 0) await pause(1)
  }
  await peer.send(finish, usage, ...(more.done === false ? [] : [done]), end)
}

export const healthy: Fault = (call) => {
  if (call.kind === 'sse') return stream(call)
  return call.peer.send(answer(200, [JSON_TYPE], whole(call.kind, call.model)))
}

export const reset: Fault = ({ peer }) => peer.reset()
export const silent: Fault = () => undefined

/** A head at once, content after a while. */
export const late = (ms: number): Fault => async (call) => {
  const { kind, model, peer } = call
  const body = kind === 'sse' ? '' : whole(kind, model)
  await peer.send(kind === 'sse' ? STREAM_HEAD : jsonHead(body.length))
  await pause(ms)
  if (kind !== 'sse') return peer.send(body)
  const { role, words, finish, usage, done, end } = events(model)
  return peer.send(role, ...words, finish, usage, done, end)
}

/** The first part of an answer, then `next`. @param tokens of the stream; of a whole body the same share of its bytes */
const partly = (tokens: number, next: Fault): Fault => async (call) => {
  const { kind, model, peer } = call
  if (kind === 'sse') await stream(call, tokens)
  else {
    const body = whole(kind, model)
    await peer.send(jsonHead(body.length), body.slice(0, (body.length * tokens) / 60))
  }
  return next(call)
}

export const cut = (tokens: number, how: 'end' | 'reset'): Fault => partly(tokens, async ({ peer }) => {
  // What was sent is to arrive before the reset does.
  await pause(30)
  if (how === 'end') peer.destroy()
  else peer.reset()
})
export const stalled = (tokens: number, ms: number): Fault => partly(tokens, async ({ peer }) => {
  await pause(ms)
  peer.destroy()
})

export const malformed: Fault = (call) => {
  const { kind, model, peer } = call
  if (kind === 'sse') return stream(call, Infinity, { broken: true })
  const body = kind === 'json' ? `${completion(model).slice(0, 300)}"oops` : tensor(model, { shape: [61] })
  return peer.send(answer(200, [JSON_TYPE], body))
}

/** Ends as HTTP says it may, without what many wait for: `[DONE]`, a Content-Length. */
export const unannounced: Fault = async (call) => {
  if (call.kind === 'sse') return stream(call, Infinity, { done: false })
  await call.peer.send(`HTTP/1.1 200 OK\r\n${JSON_TYPE}\r\nConnection: close\r\n\r\n${whole(call.kind, call.model)}`)
  return call.peer.finish()
}

/** Byte by byte, always a little, never done. */
export const trickle = (ms: number): Fault => async ({ kind, model, peer }) => {
  const body = kind === 'sse' ? '' : whole(kind, model)
  await peer.send(kind === 'sse' ? STREAM_HEAD : jsonHead(body.length))
  for (let i = 0; !peer.over; i++) {
    await peer.send(kind === 'sse' ? '3\r\n:\n\n\r\n' : body[i]!)
    await pause(ms)
  }
}

/** Content without end, never long without any. */
export const endless = (ms: number): Fault => async ({ kind, model, peer }) => {
  const { role, words } = events(model)
  await peer.send(kind === 'sse' ? STREAM_HEAD : jsonHead(1 << 20), kind === 'sse' ? role : '')
  while (!peer.over) {
    await peer.send(kind === 'sse' ? words[0]! : ' ')
    await pause(ms)
  }
}

export const bytes = (data: (model: string) => string | Buffer): Fault => ({ peer, model }) => peer.send(data(model))
/** A 200 with this JSON. */
export const says = (body: (model: string) => string): Fault => ({ peer, model }) => peer.send(answer(200, [JSON_TYPE], body(model)))
