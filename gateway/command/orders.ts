/** What the command line asks for. Plain data. */
import type { DataFormat } from '../profile/read/table.ts'

export type Topic = 'run' | 'check' | 'explain' | 'profile' | 'replay' | 'backtest'

export type Command =
  | { readonly name: 'help'; readonly topic: Topic | null }
  | { readonly name: 'version' }
  | ({ readonly name: 'run' } & Source)
  | { readonly name: 'check'; readonly file: string; readonly connect: boolean }
  | { readonly name: 'explain'; readonly file: string; readonly request: AskedRequest | null }
  | ({ readonly name: 'profile' } & ProfileOrder)
  | ({ readonly name: 'replay' } & ReplayOrder)
  | ({ readonly name: 'backtest' } & BacktestOrder)

/** Where the configuration comes from: a file, or `--to`; the flags stand over what the file says. */
export interface Source {
  readonly file: string | null
  readonly to: string | null
  readonly listen: string | null
  readonly admin: string | null
  readonly threads: string | null
}

export interface AskedRequest {
  readonly method: string
  readonly target: string
  /** Flat. */
  readonly headers: readonly string[]
}

/** What `weir profile` makes, of which files and columns; or two profiles to be compared. */
export interface ProfileOrder {
  readonly data: readonly string[]
  /** null: standard output. */
  readonly out: string | null
  readonly time: string | null
  readonly label: string | null
  readonly prediction: string | null
  readonly id: string | null
  readonly model: { readonly name: string; readonly version: string } | null
  readonly columns: readonly string[] | null
  readonly format: DataFormat | null
  readonly diff: readonly [before: string, after: string] | null
}

/** Which requests `weir replay` sends again, where, how fast, and what counts as the same answer. */
export interface ReplayOrder {
  readonly file: string
  readonly route: string
  /** null: to where the configuration listens. */
  readonly to: string | null
  readonly config: string | null
  /** Requests a second; null = by `speed`. */
  readonly rate: number | null
  /** How often as fast as it was; null = as fast as it goes. */
  readonly speed: number | null
  readonly where: string | null
  readonly limit: number
  readonly connections: number
  readonly exact: boolean
  readonly tolerance: number
  readonly json: boolean
}

/** Which rows `weir backtest` runs through which route, and what of them is what. */
export interface BacktestOrder {
  readonly file: string
  readonly config: string
  readonly route: string
  readonly time: string
  readonly label: string | null
  readonly predictions: readonly string[]
  /** Unix milliseconds: rows before and from `to` on are left out. */
  readonly from: number
  readonly to: number
  readonly limit: number
  readonly json: boolean
}
