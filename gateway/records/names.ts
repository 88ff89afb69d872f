/**
 * Names of what lies in the spool. Whoever recovers reads them back, so that a crash between two steps is seen from the names alone.
 *
 *   <state>/spool/lease.lock                                        held by the process that delivers
 *   <state>/spool/boots/<boot>.lock                                 held by a process as long as it lives
 *   <state>/spool/sinks/<sink>/ledger                               what is delivered and dropped for good
 *   <state>/spool/sinks/<sink>/<boot>-<thread>.tally                records that a data thread dropped
 *   <state>/spool/sinks/<sink>/<owner>_<boot>-<seq>-<thread>.open   a data thread appends to it
 *   <state>/spool/sinks/<sink>/<owner>_<boot>-<seq>-<thread>-<records>.{seg,ship,drop}
 *
 * `.seg` is sealed. One rename says what becomes of it, and of two that want it one wins: `.ship`, the shipper has it; `.drop`, it was
 * given up for newer records (its content may be gone, its name has the count). `owner` is the boot that has it now, `boot` the one
 * that wrote it; names sort by age.
 */
import { randomInt } from 'node:crypto'
import { join } from 'node:path'
import type { Clock } from '../clock.ts'

export type Stage = 'open' | 'seg' | 'ship' | 'drop'

export interface SegmentName {
  /** Names the segment for good, whoever owns it and however far it is. */
  readonly id: string
  readonly owner: string
  readonly boot: string
  readonly seq: number
  readonly thread: number
  /** Records that were accepted into it; −1 = still open. */
  readonly records: number
  readonly stage: Stage
}

export interface TallyName {
  readonly boot: string
  readonly thread: number
}

const SEGMENT = /^([0-9a-z]+)_([0-9a-z]+)-(\d+)-(\d+)(?:-(\d+)\.(seg|ship|drop)|\.(open))$/
const TALLY = /^([0-9a-z]+)-(\d+)\.tally$/
const SEQ_DIGITS = 9
const TIME_DIGITS = 9
const RANDOM = 36 ** 6

/** Later boots sort after earlier ones, as far as the wall clock goes. */
export function newBoot(clock: Clock): string {
  return clock.wall().toString(36).padStart(TIME_DIGITS, '0') + randomInt(RANDOM).toString(36).padStart(6, '0')
}

export const spoolFolder = (state: string): string => join(state, 'spool')
export const sinkFolder = (spool: string, sink: string): string => join(spool, 'sinks', sink)
export const bootLock = (spool: string, boot: string): string => join(spool, 'boots', `${boot}.lock`)
export const leaseLock = (spool: string): string => join(spool, 'lease.lock')
export const ledgerFile = (folder: string): string => join(folder, 'ledger')
export const tallyFile = (boot: string, thread: number): string => `${boot}-${thread}.tally`

export function openName(boot: string, seq: number, thread: number): SegmentName {
  return { id: `${boot}-${String(seq).padStart(SEQ_DIGITS, '0')}-${thread}`, owner: boot, boot, seq, thread, records: -1, stage: 'open' }
}

export function fileOf({ id, owner, records, stage }: SegmentName): string {
  return stage === 'open' ? `${owner}_${id}.open` : `${owner}_${id}-${records}.${stage}`
}

/** @returns null for a file that is no segment */
export function segmentOf(file: string): SegmentName | null {
  const [, owner, boot, seq, thread, records, sealed, open] = SEGMENT.exec(file) ?? []
  if (owner === undefined) return null
  return { id: `${boot}-${seq}-${thread}`, owner, boot: boot!, seq: Number(seq), thread: Number(thread), records: records === undefined ? -1 : Number(records), stage: (sealed ?? open) as Stage }
}

export function tallyOf(file: string): TallyName | null {
  const [, boot, thread] = TALLY.exec(file) ?? []
  return boot === undefined ? null : { boot, thread: Number(thread) }
}

/** Oldest first. */
export function byAge(a: { readonly id: string }, b: { readonly id: string }): number {
  return a.id < b.id ? -1 : a.id > b.id ? 1 : 0
}
