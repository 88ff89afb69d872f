/**
 * What all threads counted, by time: the last stretches and chunks in full, the chunks of the last seasons in groups.
 *
 * Memory, of the leader: (13 + chunks + 1) slots of all cells and (8 × chunks) slots of groups; 200 numeric features have 17 MiB of the
 * first and 1.8 MiB of the second, and 2 MiB more for each thread that counts. It is shared memory: it survives reloads and the death of the thread that sums.
 */
import { LIVE, partBytes } from './counter.ts'
import { Names } from './names.ts'
import { addInto, Ring, ringBytes } from './ring.ts'
import { type Times, SEASONS, STRETCHES } from './times.ts'
import { groupsOf } from './groups.ts'
import { HEAD, type Plan, type Watched } from './watched.ts'

/** Beyond, the file is refused: some 2,200 numeric features and two threads. */
export const MAX_MEMORY = 256 * 2 ** 20

export class History {
  readonly #plan: Plan
  readonly #times: Times
  readonly #parts: readonly Ring[]
  readonly #names: readonly Names[]
  /** By part and slot: the stamp that was summed last. */
  readonly #taken: Uint32Array
  readonly #stretches: Ring
  readonly #chunks: Ring
  readonly #past: Ring
  readonly #groups: readonly { readonly at: number; readonly count: number }[]

  constructor(plan: Plan, times: Times, parts: readonly SharedArrayBuffer[], memory: SharedArrayBuffer) {
    const { words, features } = plan
    this.#plan = plan
    this.#times = times
    this.#parts = parts.map((part) => new Ring(part, 0, LIVE, words))
    this.#names = parts.map((part) => new Names(part, ringBytes(LIVE, words), LIVE, features.length))
    const layout = layoutOf(plan, times, parts.length)
    this.#taken = new Uint32Array(memory, 0, parts.length * LIVE)
    this.#stretches = new Ring(memory, layout.stretches, STRETCHES + 1, words)
    this.#chunks = new Ring(memory, layout.chunks, times.chunks + 1, words)
    this.#past = new Ring(memory, layout.past, (SEASONS + 1) * times.chunks, layout.groupWords)
    this.#groups = groupPlaces(plan)
  }

  /**
   * Sums what ended by then and was not summed yet. When the clock goes back into a stretch that was summed already, what is counted in the rest
   * of that one stretch is lost; nothing is counted twice. @param named the texts of values that the profile does not list
   */
  fold(now: number, named: (feature: number, text: string, count: number) => void): void {
    const { stretch, grace, stretches } = this.#times
    this.#parts.forEach((part, p) => {
      for (let slot = 0; slot < LIVE; slot++) {
        const stamp = part.stampOf(slot)
        if (stamp === 0 || this.#taken[p * LIVE + slot] === stamp || (stamp + 1) * stretch + grace > now) continue
        this.#taken[p * LIVE + slot] = stamp
        const cells = part.at(stamp)!
        addInto(this.#stretches.open(stamp), cells)
        addInto(this.#chunks.open(Math.floor(stamp / stretches)), cells)
        for (const { order, values } of this.#plan.features) if (values !== null) this.#names[p]!.read(stamp, order, (text, count) => named(order, text, count))
      }
    })
  }

  /** What was not summed yet, all threads together, by stretch. */
  pending(): Map<number, Uint32Array> {
    const sums = new Map<number, Uint32Array>()
    this.#eachPending((stamp, p) => {
      if (!sums.has(stamp)) sums.set(stamp, new Uint32Array(this.#plan.words))
      addInto(sums.get(stamp)!, this.#parts[p]!.at(stamp)!)
    })
    return sums
  }

  /** Texts of it of one feature. */
  pendingNames(feature: number, found: (text: string, count: number) => void): void {
    this.#eachPending((stamp, p) => this.#names[p]!.read(stamp, feature, found))
  }

  /** As if it had been counted by the thread of this part. */
  putBack(stamp: number, part: number, cells: Uint32Array): void {
    this.#parts[part]!.open(stamp).set(cells)
  }

  /** What was summed, ring by ring; of a part's width, of groups the last. */
  get rings(): readonly Ring[] {
    return [this.#stretches, this.#chunks, this.#past]
  }

  #eachPending(each: (stamp: number, part: number) => void): void {
    this.#parts.forEach((part, p) => {
      for (let slot = 0; slot < LIVE; slot++) {
        const stamp = part.stampOf(slot)
        if (stamp !== 0 && this.#taken[p * LIVE + slot] !== stamp) each(stamp, p)
      }
    })
  }

  /** Changes with whatever is counted. */
  version(): string {
    const heads = this.#parts.flatMap((part) => Array.from({ length: LIVE }, (_, slot) => `${part.stampOf(slot)} ${part.at(part.stampOf(slot))?.subarray(0, HEAD).reduce((sum, count) => sum + count, 0)}`))
    return heads.join()
  }

  /** Sum of the stretches that begin in [from, to). @returns null when there are none */
  stretchesOf(from: number, to: number): Uint32Array | null {
    const { stretch } = this.#times
    return this.#sum(this.#stretches, Math.ceil(from / stretch), Math.ceil(to / stretch) - 1)
  }

  /** Sum of the chunks first..last (both included), and how many were counted in. */
  chunksOf(first: number, last: number): { readonly cells: Uint32Array; readonly found: number } {
    const cells = new Uint32Array(this.#plan.words)
    return { cells, found: this.#chunks.sum(first, last, cells) }
  }

  /** Remembers a chunk in groups. */
  keep(chunk: number): void {
    const cells = this.#chunks.at(chunk)
    if (cells === null) return
    const into = this.#past.open(chunk)
    for (const watched of this.#plan.features) into.set(groupsOf(watched, cells.subarray(watched.at, watched.at + watched.cells)), this.#groups[watched.order]!.at)
  }

  /** Adds a feature's groups of the chunks first..last. @returns how many chunks were there */
  addPast({ order }: Watched, first: number, last: number, into: Float64Array): number {
    const { at, count } = this.#groups[order]!
    let found = 0
    for (let chunk = first; chunk <= last; chunk++) {
      const groups = this.#past.at(chunk)
      if (groups === null) continue
      found++
      for (let i = 0; i < count; i++) into[i]! += groups[at + i]!
    }
    return found
  }

  /** By the number of their stretch, oldest first. */
  live(): [stamp: number, cells: Uint32Array][] {
    const stamps = Array.from({ length: this.#stretches.slots }, (_, slot) => this.#stretches.stampOf(slot)).filter((stamp) => stamp > 0)
    return stamps.sort((a, b) => a - b).map((stamp) => [stamp, this.#stretches.at(stamp)!])
  }

  #sum(ring: Ring, first: number, last: number): Uint32Array | null {
    const cells = new Uint32Array(this.#plan.words)
    return ring.sum(first, last, cells) === 0 ? null : cells
  }
}

function groupPlaces({ features }: Plan): { readonly at: number; readonly count: number }[] {
  let at = 0
  return features.map(({ numeric, cells }) => {
    const place = { at, count: numeric === null ? cells : numeric.groups.count }
    at += place.count
    return place
  })
}

function layoutOf(plan: Plan, { chunks }: Times, parts: number): { stretches: number; chunks: number; past: number; groupWords: number; bytes: number } {
  const groupWords = groupPlaces(plan).reduce((sum, { count }) => sum + count, 0)
  const stretches = parts * LIVE * 4
  const full = stretches + ringBytes(STRETCHES + 1, plan.words)
  const past = full + ringBytes(chunks + 1, plan.words)
  return { stretches, chunks: full, past, groupWords, bytes: past + ringBytes((SEASONS + 1) * chunks, groupWords) }
}

export function historyBytes(plan: Plan, times: Times, threads: number): number {
  return layoutOf(plan, times, threads).bytes
}

/** @throws Error when that is too much */
export function memoryOf(plan: Plan, times: Times, threads: number): number {
  const bytes = historyBytes(plan, times, threads) + threads * partBytes(plan)
  if (bytes <= MAX_MEMORY) return bytes
  throw new Error(`${plan.features.length} features need ${Math.ceil(bytes / 2 ** 20)} MiB of cells, at most ${MAX_MEMORY / 2 ** 20} MiB are allowed: leave features out (\`features: { name: off }\`)`)
}
