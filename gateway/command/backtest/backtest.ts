/** Rows through a route, one after the other, on the clock that they set; labels right behind them. */
import type { BuildIssue, Config, RouteConfig } from '../../../config/config.ts'
import { WeirError } from '../../errors.ts'
import type { Exchange } from '../../exchange.ts'
import type { CompiledRoute } from '../../pipeline/route.ts'
import type { Log } from '../../plugin.ts'
import { DataError } from '../../profile/read/table.ts'
import { FileClock } from './clock.ts'
import { Ending } from './ending.ts'
import type { Event } from './event.ts'
import { Passages } from './passage.ts'
import { type MakeRequest, requestsOf } from './request.ts'
import { LABELS, openStage, type Raised, type Stage } from './stage.ts'

export interface BacktestOptions {
  readonly config: Config
  readonly route: RouteConfig
  readonly log: Log
  /** After each row. */
  tick(): void
  stopped(): boolean
}

export interface Outcome {
  readonly rows: number
  /** Unix milliseconds of the first and the last row; null without rows. */
  readonly from: number | null
  readonly to: number | null
  /** In the order of their times. */
  readonly alarms: readonly Raised[]
  /** Exchanges by status and code (`200`, `422 SCHEMA`), and what the first of each failure said. */
  readonly answers: ReadonlyMap<string, { count: number; readonly message: string }>
  readonly labels: { readonly given: number; readonly refused: number; readonly first: string }
  readonly stoodIn: Stage['stoodIn']
  readonly records: number
  /** Alarms that there were only because the file ends; they are not among `alarms`. */
  readonly ended: number
}

/** @returns problems of the configuration instead. @throws DataError when the file cannot be read on */
export async function backtest(events: AsyncIterator<Event, void>, { config, route, log, tick, stopped }: BacktestOptions): Promise<Outcome | readonly BuildIssue[]> {
  const first = await events.next()
  const from = first.done === true ? null : first.value.time
  const clock = new FileClock(from ?? 0)
  const stage = await openStage(config, route, clock, log)
  if (!('alarms' in stage)) return stage
  const run = new Run(stage, route, clock, log)
  try {
    let to = from
    for (let next = first; next.done !== true && !stopped(); next = await events.next()) {
      to = next.value.time
      await clock.moveTo(to)
      await run.row(next.value)
      tick()
    }
    const ending = new Ending(to ?? 0, route.plugins, stage.plugins)
    if (to !== null) await clock.moveTo(ending.until)
    return { ...run.outcome(), ...ending.sift(stage.alarms), from, to }
  } finally {
    await events.return?.()
    await stage.close()
  }
}

class Run {
  readonly #stage: Stage
  readonly #passages: Passages
  readonly #request: MakeRequest
  readonly #taker: LabelTaker | null
  readonly #answers = new Map<string, { count: number; readonly message: string }>()
  readonly #labels = { given: 0, refused: 0, first: '' }
  #rows = 0

  constructor(stage: Stage, { match, plugins }: RouteConfig, clock: FileClock, log: Log) {
    this.#stage = stage
    this.#passages = new Passages(clock, log)
    this.#request = requestsOf(stage.route, match, stage.taken)
    this.#taker = labelTaker(stage, plugins)
  }

  async row(event: Event): Promise<void> {
    this.#rows++
    const inferenceId = idOf(event.time, this.#rows)
    try {
      const request = this.#request(event.request)
      this.#stage.answer = event.answer
      const x = await this.#passages.pass(this.#stage.route, { ...request, id: event.id, inferenceId, duration_ms: event.duration_ms })
      this.#count(x)
      if (event.label !== undefined && event.label !== null) await this.#label(event, x)
    } catch (error) {
      if (!(error instanceof WeirError)) throw error
      this.#tally('not made', `row ${event.row}: ${error.message}`)
    }
  }

  outcome(): Pick<Outcome, 'rows' | 'answers' | 'labels' | 'stoodIn' | 'records'> {
    return { rows: this.#rows, answers: this.#answers, labels: this.#labels, stoodIn: this.#stage.stoodIn, records: this.#stage.records.count }
  }

  #count(x: Exchange): void {
    const { code } = x.answer!
    this.#tally(code === null ? String(x.status) : `${x.status} ${code}`, x.error?.message ?? '')
  }

  #tally(key: string, message: string): void {
    const known = this.#answers.get(key)
    if (known === undefined) this.#answers.set(key, { count: 1, message })
    else known.count++
  }

  async #label({ time, row, label }: Event, { requestId, inferenceId }: Exchange): Promise<void> {
    if (this.#taker === null) return
    if (typeof label === 'bigint' || (typeof label === 'number' && !Number.isFinite(label))) throw new DataError(`row ${row}: expected a label that is a finite number, a text or a boolean, found ${label}`)
    const body = Buffer.from(JSON.stringify({ inference_id: inferenceId, request_id: requestId, label, time: new Date(time).toISOString() }))
    const { route, headers } = this.#taker
    const x = await this.#passages.pass(route, { method: 'POST', target: route.name, headers, body, id: '', inferenceId: idOf(time, 0), duration_ms: 0 })
    this.#labels.given++
    const said = refusal(x)
    if (said === null) return
    this.#labels.refused++
    if (this.#labels.first === '') this.#labels.first = `row ${row}: ${said}`
  }
}

/** In the order of rows, the same in every run: what is sampled by them is the same too. UUIDv7 (RFC 9562). */
function idOf(time: number, row: number): string {
  const hex = Math.floor(time).toString(16).padStart(12, '0')
  return `${hex.slice(0, 8)}-${hex.slice(8)}-7000-8000-${row.toString(16).padStart(12, '0')}`
}

/** Where labels go, as a caller sends them. */
interface LabelTaker {
  readonly route: CompiledRoute
  readonly headers: readonly string[]
}

function labelTaker({ labels }: Stage, plugins: RouteConfig['plugins']): LabelTaker | null {
  if (labels === null) return null
  const { token } = plugins.find(({ name }) => name === LABELS)!.options as { readonly token?: string }
  return { route: labels, headers: ['content-type', 'application/json', ...(token === undefined ? [] : ['authorization', `Bearer ${token}`])] }
}

/** @returns null: the label was taken; else what was said */
function refusal({ answer }: Exchange): string | null {
  const text = (answer!.body as Buffer | null)?.toString() ?? ''
  return answer!.status < 300 && (JSON.parse(text) as { readonly accepted?: number }).accepted === 1 ? null : text
}
