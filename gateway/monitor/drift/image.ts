/**
 * What of drift outlives the process: everything that was summed, what was not summed yet, and what was judged. The latter two are put back where the
 * next call of `tick` finds them, the counts in the part of one thread, from where they are summed once.
 *
 * Frames begin with two words: what follows, and its stamp. Cells are pairs of place and count where that is shorter.
 */
import type { Section } from '../snapshot.ts'
import type { Drift } from './drift.ts'
import type { History } from './history.ts'
import type { Active } from './judge.ts'
import type { Learned } from './outlier_model.ts'
import type { Rates } from './rates.ts'
import { addName, type DriftState, type Judged } from './state.ts'

/** Kinds of frames; from `RING` on the rings of the history, from `JUDGED` on what was judged last. */
const [FACTS, NAMES, PENDING, RING, JUDGED] = [0, 1, 2, 3, 6]
const LAST = ['last', 'previous', 'season'] as const
const PREFIX_WORDS = 2
/** In place of the number of pairs: all cells follow. */
const DENSE = 0xffff_ffff
/** Features whose names are one frame. */
const NAMES_AT_ONCE = 32

type Names = readonly (readonly (readonly [text: string, count: number])[])[]

interface Facts {
  /** null = NaN. */
  readonly began: number | null
  readonly window: number | null
  readonly chunk: number | null
  readonly namesSince: number | null
  readonly met: readonly number[]
  readonly active: readonly (readonly [string, Active])[]
  readonly hits: readonly (readonly [string, number])[]
  readonly outliers: Learned | null
  readonly judged: readonly (Omit<Judged, 'cells'> | null)[]
}

/** @param mine the part that gets what was not summed yet: of the thread that restores */
export function sectionsOf(drift: Drift, history: History, mine: number, layout: string, rates: { readonly rates: Rates; readonly layout: string } | null): Section[] {
  const { state, plan } = drift
  let judged: Facts['judged'] = []
  let began = -1

  function* cells(): Generator<Uint8Array> {
    yield json(FACTS, 0, factsOf(state))
    for (const [stamp, counts] of history.pending()) yield frameOf(PENDING, stamp, counts)
    for (const [i, name] of LAST.entries()) if (state[name] !== null) yield frameOf(JUDGED + i, 0, state[name].cells)
    for (const [i, ring] of history.rings.entries()) {
      for (let slot = 0; slot < ring.slots; slot++) {
        const stamp = ring.stampOf(slot)
        if (stamp > 0) yield frameOf(RING + i, stamp, ring.at(stamp)!)
      }
    }
    for (let from = 0; from < plan.features.length; from += NAMES_AT_ONCE) yield json(NAMES, from, namesOf(state, history, from, Math.min(plan.features.length, from + NAMES_AT_ONCE)))
  }

  function take(frame: Buffer): void {
    const [kind, stamp] = new Uint32Array(frame.buffer, frame.byteOffset, PREFIX_WORDS) as unknown as readonly [number, number]
    if (kind === FACTS) judged = restoreFacts(state, textOf(frame))
    else if (kind === NAMES) restoreNames(state, stamp, textOf(frame))
    else if (kind === PENDING) history.putBack(stamp, mine, cellsOf(frame, plan.words))
    else if (kind < JUDGED) putInto(frame, history.rings[kind - RING]!.open(stamp))
    else state[LAST[kind - JUDGED]!] = { ...judged[kind - JUDGED]!, cells: cellsOf(frame, plan.words) }
  }

  /** As long as nothing is summed or judged meanwhile. */
  function* guarded(frames: Iterable<Uint8Array>): Generator<Uint8Array | null> {
    for (const frame of frames) yield drift.ticks === began ? frame : null
  }

  function begin(): Iterable<Uint8Array | null> {
    began = drift.ticks
    return guarded(cells())
  }

  const own: Section = { name: 'cells', layout, frames: begin, take }
  if (rates === null) return [own]
  const bytes = (numbers: Float64Array): Uint8Array => new Uint8Array(numbers.buffer)
  return [own, {
    name: 'rates',
    layout: rates.layout,
    frames: () => guarded(rates.rates.numbers.map(bytes)),
    take: (frame, i) => rates.rates.restore(i, new Float64Array(frame.buffer, frame.byteOffset, frame.length / 8)),
  }]
}

function factsOf({ began, window, chunk, namesSince, met, judge, outliers, ...state }: DriftState): Facts {
  return {
    began: orNull(began), window: orNull(window), chunk: orNull(chunk), namesSince: orNull(namesSince),
    met: [...met], active: [...judge.active], hits: [...judge.hits], outliers,
    judged: LAST.map((name) => (state[name] === null ? null : { from: state[name].from, to: state[name].to, rows: state[name].rows })),
  }
}

function restoreFacts(state: DriftState, facts: unknown): Facts['judged'] {
  const { began, window, chunk, namesSince, met, active, hits, outliers, judged } = facts as Facts
  Object.assign(state, { began: began ?? NaN, window: window ?? NaN, chunk: chunk ?? NaN, namesSince: namesSince ?? NaN, outliers })
  for (const order of met) state.met.add(order)
  for (const [key, value] of active) state.judge.active.set(key, value)
  for (const [key, value] of hits) state.judge.hits.set(key, value)
  return judged
}

/** Of features from..to, of this season and the one before; with those that were not summed yet. */
function namesOf(state: DriftState, history: History, from: number, to: number): readonly [Names, Names] {
  const names: (readonly [string, number])[][] = []
  for (let order = from; order < to; order++) {
    const own = new Map(state.names[order])
    history.pendingNames(order, (text, count) => addName(own, text, count))
    names.push([...own])
  }
  return [names, Array.from({ length: to - from }, (_, i) => [...(state.older[from + i] ?? [])])]
}

function restoreNames(state: DriftState, from: number, texts: unknown): void {
  const [names, older] = texts as readonly [Names, Names]
  names.forEach((own, i) => own.length > 0 && (state.names[from + i] = new Map(own)))
  older.forEach((own, i) => own.length > 0 && (state.older[from + i] = new Map(own)))
}

function orNull(number: number): number | null {
  return Number.isNaN(number) ? null : number
}

function json(kind: number, stamp: number, value: unknown): Uint8Array {
  return Buffer.concat([new Uint8Array(Uint32Array.of(kind, stamp).buffer), Buffer.from(JSON.stringify(value))])
}

function textOf(frame: Buffer): unknown {
  return JSON.parse(frame.toString('utf8', 4 * PREFIX_WORDS))
}

function frameOf(kind: number, stamp: number, cells: Uint32Array): Uint8Array {
  let pairs = 0
  for (let i = 0; i < cells.length; i++) if (cells[i]! > 0) pairs++
  const sparse = 2 * pairs < cells.length
  const frame = new Uint32Array(PREFIX_WORDS + 1 + (sparse ? 2 * pairs : cells.length))
  frame.set([kind, stamp, sparse ? pairs : DENSE])
  if (!sparse) frame.set(cells, PREFIX_WORDS + 1)
  let at = PREFIX_WORDS + 1
  for (let i = 0; sparse && i < cells.length && at < frame.length; i++) {
    if (cells[i] === 0) continue
    frame[at++] = i
    frame[at++] = cells[i]!
  }
  return new Uint8Array(frame.buffer)
}

function cellsOf(frame: Buffer, words: number): Uint32Array {
  const cells = new Uint32Array(words)
  putInto(frame, cells)
  return cells
}

/** @param cells all 0 */
function putInto(frame: Buffer, cells: Uint32Array): void {
  const words = new Uint32Array(frame.buffer, frame.byteOffset, frame.length / 4).subarray(PREFIX_WORDS)
  if (words[0] === DENSE) return cells.set(words.subarray(1))
  for (let at = 1; at < words.length; at += 2) cells[words[at]!] = words[at + 1]!
}
