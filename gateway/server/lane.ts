/** What a route needs at hand for every exchange: its bound metrics and the constant lines of its answers. */
import { type Answer, type Exchange, modelOf } from '../exchange.ts'
import type { Counter, Handles, Histogram } from '../metrics.ts'
import { CODE_CLASSES, type exchangeMetrics } from '../vital.ts'

type Metrics = Handles<typeof exchangeMetrics>

const CALLER_LEFT = 5

export class Lane {
  readonly name: string
  readonly duration: Histogram
  readonly overhead: Histogram
  readonly #metrics: Metrics
  /** By backend, one counter a class; bounded by the backends of the config. */
  readonly #requests = new Map<string, readonly Counter[]>()
  /** Header lines that name the backend, by backend. */
  readonly #names = new Map<string, string>()

  constructor(name: string, metrics: Metrics) {
    this.name = name
    this.#metrics = metrics
    this.duration = metrics.weir_request_duration_seconds({ route: name })
    this.overhead = metrics.weir_overhead_seconds({ route: name })
  }

  /** Binds the series of a backend, so that they are there (as 0) before the first request. */
  bind(backend: string): readonly Counter[] {
    const counters = CODE_CLASSES.map((code) => this.#metrics.weir_requests_total({ route: this.name, backend, code }))
    this.#requests.set(backend, counters)
    return counters
  }

  /** @param status what the caller got, 0 when it left */
  count(backend: string, status: number): void {
    const counters = this.#requests.get(backend) ?? this.bind(backend)
    counters[status === 0 || status === 499 ? CALLER_LEFT : Math.min(4, Math.floor(status / 100) - 1)]!.add()
  }

  /** `x-weir-route`, `x-weir-backend`: constant for a route and a backend. */
  lines(backend: string): string {
    const known = this.#names.get(backend)
    if (known !== undefined) return known
    const lines = `x-weir-route: ${this.name}\r\n${backend === '' ? '' : `x-weir-backend: ${backend}\r\n`}`
    this.#names.set(backend, lines)
    return lines
  }
}

/** The headers of weir's own on an answer. @param total milliseconds since the request head */
export function answerLines(lane: Lane, x: Exchange, answer: Answer, total: number): string {
  let lines = `${lane.lines(answer.backend)}x-weir-attempts: ${x.attempts}\r\nx-weir-inference-id: ${x.inferenceId}\r\nx-request-id: ${x.requestId}\r\n`
  if (x.arm !== '') lines += `x-weir-arm: ${x.arm}\r\n`
  if (x.fallback !== '') lines += `x-weir-fallback: ${x.fallback}\r\n`
  const model = modelOf(x, answer)
  if (model !== null) lines += `x-weir-model: ${model.version === '' ? model.name : `${model.name}/${model.version}`}\r\n`
  const overhead = Math.max(0, total - x.waited)
  return `${lines}server-timing: weir;dur=${tenths(overhead)}, backend;dur=${tenths(x.waited)}\r\n`
}

/** Milliseconds with three digits, without the cost of `toFixed`. */
function tenths(ms: number): string {
  const micros = Math.round(ms * 1000)
  const rest = micros % 1000
  return rest === 0 ? String(micros / 1000) : `${Math.floor(micros / 1000)}.${rest < 10 ? `00${rest}` : rest < 100 ? `0${rest}` : rest}`
}
