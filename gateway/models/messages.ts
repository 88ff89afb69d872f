/** What the control, data and inference threads say to each other about models. */
import type { MessagePort } from 'node:worker_threads'
import type { Column } from '../payload/columns.ts'
import type { Run } from './host.ts'
import type { Measured, Placement } from './placement.ts'
import type { Signature } from './signature.ts'

/** Control → inference. */
export type ToInference =
  /** Loads a model and keeps it if it is to run there. */
  | { readonly type: 'load'; readonly id: number; readonly file: string; readonly placement: 'auto' | Placement }
  /** No data thread uses it any more. */
  | { readonly type: 'unload'; readonly id: number }
  /** One more data thread. */
  | { readonly type: 'connect'; readonly port: MessagePort }

/** Inference → control: the outcome of a load. */
export type FromInference =
  | { readonly id: number; readonly signature: Signature; readonly placement: Placement; readonly why: string; readonly measured: Measured; readonly load_ms: number }
  | { readonly id: number; readonly error: string; readonly load_ms: number }

/** Control → data: the way to the inference thread, again after each restart of it. */
export interface Link {
  readonly port: MessagePort
}

/** Data → inference. */
export type Ask =
  | { readonly type: 'run'; readonly seq: number; readonly id: number; readonly inputs: readonly Column[]; readonly outputs: readonly string[] }
  /** Nobody waits for this one any more. */
  | { readonly type: 'drop'; readonly seq: number }

/** Inference → data. `error` is the library's message: for the log. */
export type Told =
  | { readonly seq: number; readonly run: Run }
  | { readonly seq: number; readonly error: string }
