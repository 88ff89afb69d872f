/** Backends on a fake clock that do what a script says, attempt by attempt, honour their leg as the wire does, and remember everything. */
import { Answer, type Exchange, type Flow, type Leg, type LegWatcher, type Send, type Sink } from '../../gateway/exchange.ts'
import { type Code, WeirError } from '../../gateway/errors.ts'
import type { Timer } from '../../gateway/clock.ts'
import type { FakeClock } from '../fake_clock.ts'

/** What one attempt does; `broken`: an answer that is whole and not what it says it is. Milliseconds; `after` 0 = answered within the call itself where that is possible. */
export interface Step {
  readonly kind: 'answer' | 'broken' | 'error' | 'silent' | 'cut' | 'stall'
  readonly after: number
  /** Between the parts of the body; 0 = the body is whole with its head. */
  readonly gap: number
  readonly status: number
  readonly code: Code
  readonly stream: boolean
}

/** Codes of attempts that never reached anybody. */
const UNSENT: readonly Code[] = ['CONNECT_FAILED', 'CONNECT_TIMEOUT', 'NO_ENDPOINT']

/** One attempt: what became of it, and when. */
export class Attempted implements LegWatcher {
  readonly x: Exchange
  readonly backend: string
  readonly step: Step
  /** Of this exchange at this backend. */
  readonly nth: number
  readonly parts: readonly string[]
  readonly begunAt: number
  headAt = Infinity
  overAt = Infinity
  /** `send` has not settled yet. */
  pending = true
  readonly #clock: FakeClock
  readonly #leg: Leg
  #timer: Timer | null = null
  #reject: (error: WeirError) => void = () => undefined
  #flow: ScriptFlow | null = null

  constructor(x: Exchange, leg: Leg, step: Step, nth: number, clock: FakeClock) {
    this.x = x
    this.backend = leg.backend.name
    this.step = step
    this.nth = nth
    this.#clock = clock
    this.#leg = leg
    this.begunAt = clock.now()
    const closing = step.kind === 'broken' ? '' : '}'
    const event = (text: string): string => (step.stream ? `data: {"of":"${this.backend}-${nth}","is":"${text}"${closing}\n\n` : `"${this.backend}-${nth}-${text}"`)
    this.parts = step.stream ? [event('a'), event('b')] : ['[', `${event('a')},`, `${event('b')}${step.kind === 'broken' ? '' : ']'}`]
  }

  /** The provider may have done what was asked. */
  get executed(): boolean {
    return this.step.kind !== 'error' || !UNSENT.includes(this.step.code)
  }

  get whole(): string {
    return this.parts.join('')
  }

  begin(): Answer | Promise<Answer> {
    const { after, kind, gap } = this.step
    if (after === 0 && (kind === 'answer' || kind === 'broken') && gap === 0) {
      this.pending = false
      this.headAt = this.#clock.now()
      this.over()
      return this.#answer(Buffer.from(this.whole))
    }
    return new Promise((resolve, reject) => {
      this.#reject = reject
      this.#leg.watch(this)
      if (kind !== 'silent' && this.pending) this.#timer = this.#clock.after(after, () => this.#head(resolve))
    })
  }

  #head(resolve: (answer: Answer) => void): void {
    const { kind, code, gap } = this.step
    this.pending = false
    if (kind === 'error') {
      this.over()
      return this.#reject(new WeirError(code))
    }
    this.headAt = this.#clock.now()
    this.#flow = new ScriptFlow(this, this.#clock, kind, gap)
    resolve(this.#answer(this.#flow))
  }

  #answer(body: Buffer | Flow): Answer {
    return new Answer(this.step.status, ['content-type', this.step.stream ? 'text/event-stream' : 'application/json'], body)
  }

  over(): void {
    this.overAt = Math.min(this.overAt, this.#clock.now())
    this.#leg.unwatch(this)
  }

  legCancelled(cause: WeirError): void {
    this.#timer?.cancel()
    this.over()
    if (!this.pending) return this.#flow?.stopped(cause)
    this.pending = false
    this.#reject(cause)
  }
}

class ScriptFlow implements Flow {
  readonly length = -1
  readonly #attempt: Attempted
  readonly #clock: FakeClock
  readonly #kind: Step['kind']
  readonly #gap: number
  #sink: Sink | null = null
  #timer: Timer | null = null
  #next = 0
  #error: WeirError | null = null
  #over = false
  #paused = false

  constructor(attempt: Attempted, clock: FakeClock, kind: Step['kind'], gap: number) {
    this.#attempt = attempt
    this.#clock = clock
    this.#kind = kind
    this.#gap = gap
  }

  start(sink: Sink): void {
    this.#sink = sink
    if (this.#error !== null) this.stopped(this.#error)
    else this.#arm()
  }

  #arm(): void {
    if (!this.#over && !this.#paused) this.#timer = this.#clock.after(this.#gap, () => this.#push())
  }

  /** A part a gap, then the end; what is cut or stalls does so behind the last but one. */
  #push(): void {
    const { parts } = this.#attempt
    const broken = this.#kind === 'cut' || this.#kind === 'stall'
    if (this.#next < parts.length - (broken ? 1 : 0)) {
      this.#paused = !this.#sink!.data(Buffer.from(parts[this.#next++]!))
      this.#arm()
    } else if (this.#kind === 'cut') this.stopped(new WeirError('RESET'))
    else if (this.#kind !== 'stall') {
      this.#end()
      this.#sink!.end(null)
    }
  }

  #end(): void {
    this.#over = true
    this.#timer?.cancel()
    this.#attempt.over()
  }

  stopped(error: WeirError): void {
    this.#error = error
    if (this.#over && this.#sink === null) return
    if (this.#over) return
    this.#timer?.cancel()
    this.#attempt.over()
    if (this.#sink === null) return
    this.#over = true
    this.#sink.fail(error)
  }

  pause(): void {
    this.#paused = true
    this.#timer?.cancel()
  }

  resume(): void {
    if (!this.#paused) return
    this.#paused = false
    this.#arm()
  }

  cancel(): void {
    if (!this.#over) this.#end()
  }
}

/** Backends by name; each does its steps in turn, whoever asks, and its last one from then on. */
export class Scripted {
  readonly attempts: Attempted[] = []
  /** Attempts under way that are not the first of their exchange at their backend: the most there ever were. */
  mostExtra = 0
  readonly #clock: FakeClock

  constructor(clock: FakeClock) {
    this.#clock = clock
  }

  backend(steps: readonly Step[]): Send {
    let turn = 0
    return (x, leg) => {
      if (leg.cancelled !== null) return Promise.reject(leg.cancelled)
      const step = steps[Math.min(turn++, steps.length - 1)]!
      const nth = this.attempts.filter((other) => other.x === x && other.backend === leg.backend.name).length + 1
      const attempt = new Attempted(x, leg, step, nth, this.#clock)
      this.attempts.push(attempt)
      const answer = attempt.begin()
      this.mostExtra = Math.max(this.mostExtra, this.attempts.filter((other) => other.pending && other.nth > 1).length)
      return answer
    }
  }

  of(x: Exchange): readonly Attempted[] {
    return this.attempts.filter((attempt) => attempt.x === x)
  }
}
