/** What a run of the bench leaves behind: raw numbers and where they come from. Everything shown anywhere is computed from this. */
import { execFileSync } from 'node:child_process'
import { cpus, release, totalmem } from 'node:os'
import type { Latency, Load } from './load.ts'
import type { Monitors } from './monitors.ts'
import { root } from './peers.ts'
import type { RecordsResult } from './records.ts'
import type { Resilience } from './resilience.ts'

export interface Machine {
  readonly cpu: string
  readonly cores: number
  readonly memory_gib: number
  readonly kernel: string
  readonly node: string
  readonly commit: string
  /** UTC day. */
  readonly day: string
}

/** Requests per CPU second; `nginx[i]` is the mean of nginx just before and just after `runs[i]`. */
export interface Throughput {
  readonly name: string
  readonly version: string
  readonly runs: number[]
  readonly nginx: number[]
}

export interface Beside {
  readonly idle: Latency[]
  readonly busy: Latency[]
}

export interface Results {
  readonly machine: Machine
  readonly left_out: { readonly name: string; readonly why: string }[]
  proxy?: { readonly seconds: number; readonly peers: Throughput[] }
  inside?: {
    readonly seconds: number
    readonly weir: number[]
    /** Measured between weir's runs; empty when Python has none of them. */
    readonly peers: { readonly name: string; readonly version: string; readonly runs: number[] }[]
    /** CPU of `session.run` alone on the same input, µs. */
    readonly bare_run_us: number[]
    /** The same model with more rows: weir by JSON and by binary tensors, FastAPI by JSON. */
    readonly many?: { readonly rows: number; readonly json: number[]; readonly binary: number[]; readonly fastapi?: number[] }
  }
  /** A slow model, one row a request: rows of callers joined to one run, and each request a run. */
  batching?: { readonly model: string; readonly callers: number; readonly seconds: number; readonly joined: Load[]; readonly single: Load[] }
  /** A proxied route and a small inside model at a fixed rate, beside nothing and beside a heavy model under full load. */
  neighbours?: {
    readonly model: string
    readonly per_second: number
    /** Of the heavy model. */
    readonly callers: number
    readonly seconds: number
    readonly heavy_per_second: number[]
    readonly proxied: Beside
    readonly inside: Beside
  }
  latency?: { readonly per_second: number; readonly seconds: number; readonly direct: Latency[]; readonly nginx: Latency[]; readonly weir: Latency[] }
  resilience?: Resilience
  records?: RecordsResult
  monitors?: Monitors
  memory?: { readonly threads: number; readonly seconds: number; readonly samples_mib: number[] }
  start?: { readonly package_ms: number[]; readonly source_ms: number[] }
}

export function machine(): Machine {
  const git = (...args: string[]) => execFileSync('git', args, { cwd: root, encoding: 'utf8' }).trim()
  const changed = git('status', '--porcelain', '--untracked-files=no') !== ''
  return {
    cpu: cpus()[0]!.model,
    cores: cpus().length,
    memory_gib: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.version,
    commit: git('rev-parse', '--short', 'HEAD') + (changed ? ' with changes' : ''),
    day: new Date().toISOString().slice(0, 10),
  }
}

export function median(values: readonly number[]): number {
  if (values.length === 0) throw new Error('the median of nothing')
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** Median of the ratios of neighbouring runs: the machine's speed drifts, so only neighbours compare. */
export function ratio(of: readonly number[], to: readonly number[]): number {
  return median(of.map((value, i) => value / to[i]!))
}
