/** What the control, data and inference threads say to each other about models. */
import type { MessagePort } from 'node:worker_threads'
import type { BatchingConfig } from '../../../config/config.ts'
import type { Column } from '../../payload/columns.ts'
import type { Run } from './host.ts'
import type { Measured, Placement } from './placement.ts'
import type { Signature } from '../signature.ts'

/** What an inference thread is started with (`workerData`). */
export interface InferenceData {
  /** Threads of ONNX Runtime inside one run. */
  readonly intra_op_threads: number
  /** One Int32: the model it loads or runs now, `id + 1`, so that a death can be laid at a door; 0 between two runs. */
  readonly busy: SharedArrayBuffer
}

/** A model that is to be loaded. Ids are never used again for another file. */
export interface ModelLoad {
  readonly id: number
  readonly file: string
  readonly placement: 'auto' | Placement
  readonly batching: BatchingConfig | null
}

/** Control → inference. */
export type ToInference =
  /** Loads a model, measures it unless that was done on another thread, and keeps it if it is to run there. */
  | (ModelLoad & { readonly type: 'load'; readonly measured: Measured | null })
  /** Lets go of a model after the requests that it has. Answered even when it is not there. */
  | { readonly type: 'unload'; readonly id: number }
  /** One more data thread. */
  | { readonly type: 'connect'; readonly port: MessagePort }

/** The outcome of a load. */
export type FromInference =
  | { readonly id: number; readonly signature: Signature; readonly placement: Placement; readonly why: string; readonly measured: Measured; readonly load_ms: number }
  | { readonly id: number; readonly error: string; readonly load_ms: number }

/** Inference → control. */
export type Report = { readonly type: 'loaded'; readonly outcome: FromInference } | { readonly type: 'unloaded'; readonly id: number }

/** Control → data. */
export type Link =
  /** The way to an inference thread, again after each restart of it; every model that lives there is loaded. */
  | { readonly type: 'thread'; readonly thread: number; readonly port: MessagePort }
  /** This model ended inference threads again and again and runs no more, until it is loaded again. */
  | { readonly type: 'unavailable'; readonly id: number }
  | { readonly type: 'available'; readonly id: number }

/** Data → inference. */
export type Ask =
  /** @property at when it was sent (`Clock.now`, the same for all threads) */
  | { readonly type: 'run'; readonly seq: number; readonly id: number; readonly inputs: readonly Column[]; readonly outputs: readonly string[]; readonly at: number }
  /** Nobody waits for this one any more. */
  | { readonly type: 'drop'; readonly seq: number }

/** Inference → data. */
export type Told =
  | { readonly seq: number; readonly run: Run }
  /** In the library's words: for the log. */
  | { readonly seq: number; readonly error: string }
  /** The model is not (or no longer) on this thread. */
  | { readonly seq: number; readonly missing: true }
