/**
 * When this data thread or the process has too much to do: which routes are refused, the least critical first.
 * A calm gateway pays two comparisons of numbers a request.
 */
import os from 'node:os'
import type { OverloadConfig, RouteConfig } from '../../config/config.ts'
import type { Clock, Timer } from '../clock.ts'
import { WeirError } from '../errors.ts'
import type { Counter, Registry } from '../metrics.ts'
import { LoopDelay, SAMPLE_MS } from '../stats/loop_delay.ts'
import { overloadMetrics, type SIGNALS } from '../vital.ts'

type Criticality = RouteConfig['criticality']
type Signal = (typeof SIGNALS)[number]

export interface OverloadDeps {
  readonly clock: Clock
  readonly registry: Registry
  /** Uniform in [0, 1). */
  readonly random: () => number
  /** Memory of the process as a share of what it may have. */
  readonly memory: () => number
}

/** The level from which a route is refused. */
const REFUSED_FROM: Readonly<Record<Criticality, number>> = { sheddable: 1, standard: 2, critical: 3 }
const MEMORY_MS = 1000
/** Sheddable routes leave this share of `limits.in_flight` to the others. */
const RESERVED = 0.25
/** `retry-after` is 1, 2 or 3 seconds, so that those who were refused together do not come back together. */
const RETRY_AFTER_S = 3

export class Overload {
  /** 0 = calm; from 1 on `sheddable` routes are refused, from 2 on `standard` ones, at 3 all. */
  level = 0
  /** With more exchanges under way than this, `sheddable` routes are refused. */
  crowd = Infinity
  readonly #deps: OverloadDeps
  readonly #counters = new Map<string, Counter>()
  #config: OverloadConfig = { loop_delay_ms: null, memory: null }
  #delay: LoopDelay
  #levels = { loop_delay: 0, memory: 0 }
  #signal: Signal = 'loop_delay'
  #timers: Timer[] = []

  constructor(deps: OverloadDeps) {
    this.#deps = deps
    this.#delay = new LoopDelay(deps.clock.now())
  }

  /** From here on by these numbers. @param inFlight `limits.in_flight` */
  configure(config: OverloadConfig, inFlight: number): void {
    this.crowd = Math.ceil(inFlight * (1 - RESERVED))
    if (config.loop_delay_ms === this.#config.loop_delay_ms && config.memory === this.#config.memory) return
    this.close()
    this.#config = config
    this.#levels = { loop_delay: 0, memory: 0 }
    this.#judge()
    const { clock } = this.#deps
    this.#delay = new LoopDelay(clock.now())
    if (config.loop_delay_ms !== null) this.#timers.push(clock.every(SAMPLE_MS, () => this.#sampleLoop(config.loop_delay_ms!)))
    if (config.memory !== null) this.#timers.push(clock.every(MEMORY_MS, () => this.#sampleMemory(config.memory!)))
  }

  /** @param inFlight exchanges under way @returns why this one is refused, or null; counted */
  refusal(route: { readonly name: string; readonly criticality: Criticality }, inFlight: number): WeirError | null {
    const { criticality } = route
    if (this.level >= REFUSED_FROM[criticality]) this.count(route.name, this.#signal, criticality)
    else if (inFlight > this.crowd && criticality === 'sheddable') this.count(route.name, 'in_flight', criticality)
    else return null
    const error = new WeirError('OVERLOADED', 'the gateway has too much to do')
    error.retryAfter = 1 + Math.floor(this.#deps.random() * RETRY_AFTER_S)
    return error
  }

  close(): void {
    for (const timer of this.#timers) timer.cancel()
    this.#timers = []
  }

  /** Counts a refusal. Series are bound when first needed; they are bounded by the routes of the config. @param route '' before it is known */
  count(route: string, signal: Signal, criticality: Criticality): void {
    const key = `${route}\0${signal}\0${criticality}`
    const counter = this.#counters.get(key) ?? this.#deps.registry.handles(overloadMetrics).weir_shed_total({ route, signal, criticality })
    this.#counters.set(key, counter)
    counter.add()
  }

  #sampleLoop(threshold: number): void {
    if (!this.#delay.sample(this.#deps.clock.now())) return
    const { delay } = this.#delay
    this.#levels.loop_delay = delay >= 4 * threshold ? 3 : delay >= 2 * threshold ? 2 : delay >= threshold ? 1 : 0
    this.#judge()
  }

  #sampleMemory(threshold: number): void {
    const used = this.#deps.memory()
    this.#levels.memory = used >= 1 ? 3 : used >= threshold + ((1 - threshold) * 2) / 3 ? 2 : used >= threshold ? 1 : 0
    this.#judge()
  }

  #judge(): void {
    const { loop_delay, memory } = this.#levels
    this.level = Math.max(loop_delay, memory)
    this.#signal = memory > loop_delay ? 'memory' : 'loop_delay'
  }
}

/** Resident memory of the process by its cgroup's limit (v2 or v1), or by the memory of the machine where there is none. */
export function memoryUse(): number {
  const machine = os.totalmem()
  const constrained = process.constrainedMemory()
  return process.memoryUsage.rss() / (constrained > 0 && constrained < machine ? constrained : machine)
}
