/** A translated backend on real sockets in front of a scripted server, without a gateway around it. */
import type { SpeaksConfig } from '../../config/config.ts'
import type { Clock } from '../../gateway/clock.ts'
import { systemClock } from '../../gateway/clock.ts'
import { WeirError } from '../../gateway/errors.ts'
import { type Answer, type Body, Exchange, type Format, Leg } from '../../gateway/exchange.ts'
import { Registry } from '../../gateway/metrics.ts'
import { gather } from '../../gateway/server/buffer.ts'
import { translated } from '../../gateway/translate/backend.ts'
import { httpBackend, type HttpBackend } from '../../gateway/upstream/transport.ts'
import { backendMetrics } from '../../gateway/vital.ts'
import { Deadlines } from '../../gateway/wire/deadlines.ts'
import { answer } from '../blackbox/message.ts'
import { backendConfig } from '../wire/thin.ts'

export function speaks(format: SpeaksConfig['format'], more: Partial<SpeaksConfig> = {}): SpeaksConfig {
  return { format, model: ['oip', 'kserve_v1', 'tfs'].includes(format) ? 'm' : '', version: '', columns: null, ...more }
}

export function start(port: number, speaks: SpeaksConfig | null, clock: Clock = systemClock, more: Parameters<typeof backendConfig>[1] = {}): HttpBackend {
  const metrics = new Registry().handles(backendMetrics)
  return translated(httpBackend(backendConfig([port], { speaks, ...more }), { clock: systemClock, deadlines: new Deadlines(systemClock), metrics, random: Math.random }), { clock, gather })
}

export interface Call {
  readonly x: Exchange
  readonly leg: Leg
  readonly answer: Promise<Answer>
}

export interface Ask {
  readonly method?: string
  readonly target?: string
  readonly headers?: string[]
  readonly max?: number
}

/** Sends a body of a route with this format. */
export function call(backend: HttpBackend, format: Format | null, body: string | Body, ask: Ask = {}): Call {
  const leg = new Leg(backend)
  const x = new Exchange({
    method: ask.method ?? 'POST', target: ask.target ?? '/score?a=1', headers: ask.headers ?? ['Host', 'a.test', 'content-type', 'application/json'],
    body: typeof body === 'string' ? Buffer.from(body) : body, caller: { address: '127.0.0.1', port: 1, tls: false, inform: () => undefined },
    route: { name: 'r', format, maxBodyBytes: ask.max ?? 1 << 20 }, minor: 1, upgrade: '', requestId: 'id', inferenceId: 'id', started: 0, leg, slots: 0,
  })
  const sent = Promise.resolve(backend.send(x, leg))
  sent.catch(() => undefined)
  return { x, leg, answer: sent }
}

/** `CODE: message` of what `answer` rejects with. */
export async function refusal(answer: Promise<Answer>): Promise<string> {
  try {
    const { status, body } = await answer
    return `answered ${status} ${String(body)}`
  } catch (error) {
    return error instanceof WeirError ? `${error.code}: ${error.message}` : String(error)
  }
}

export const text = (answer: Answer): string => String(answer.body)
export const json = (value: unknown, status = 200, lines: readonly string[] = []): Buffer => answer(status, ['content-type: application/json', ...lines], JSON.stringify(value))
