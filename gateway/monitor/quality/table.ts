/** The memory of `ids.ts`, by its places; and what of it outlives the process. */

/** Entries of a set. */
export const WAYS = 8
/** States, in the low bits of the word. */
export const [EMPTY, WRITING, PENDING, LABELLED, CLAIMED] = [0, 1, 2, 3, 4]
export const STATE = 7
export const GROUP_SHIFT = 3
/** Groups there may be. */
export const MAX_GROUPS = 64
export const TURN = MAX_GROUPS << GROUP_SHIFT
/** Doubles before the scores. */
export const [TIME, LABEL, SCORES] = [0, 1, 2]

/** Entries that are looked at in one piece: half a millisecond. */
const AT_ONCE = 4096
/** Words of a saved entry before its doubles: its place, group and state, and the key. */
const PLACE_WORDS = 4

export function entriesOf(ids: number): number {
  return Math.ceil(ids / WAYS) * WAYS
}

export interface Table {
  /** Two words an entry. */
  readonly keys: Int32Array
  readonly values: Float64Array
  readonly states: Int32Array
}

export function tableOf(memory: SharedArrayBuffer, ids: number, width: number): Table {
  const entries = entriesOf(ids)
  return {
    keys: new Int32Array(memory, 0, entries * 2),
    values: new Float64Array(memory, entries * 8, entries * (SCORES + width)),
    states: new Int32Array(memory, entries * 8 * (1 + SCORES + width), entries),
  }
}

/** Entries as bytes, whole ones only, while others write: piece by piece. @param since those of an earlier time are left out */
export function* framesOf({ keys, values, states }: Table, since: number): Generator<Uint8Array> {
  const doubles = values.length / states.length
  const bytes = 4 * PLACE_WORDS + 8 * doubles
  for (let from = 0; from < states.length; from += AT_ONCE) {
    const frame = new Uint8Array(AT_ONCE * bytes)
    let found = 0
    for (let at = from; at < Math.min(states.length, from + AT_ONCE); at++) {
      const before = Atomics.load(states, at)
      if ((before & STATE) < PENDING) continue
      const [words, numbers] = [new Int32Array(frame.buffer, found * bytes, PLACE_WORDS), new Float64Array(frame.buffer, found * bytes + 4 * PLACE_WORDS, doubles)]
      words.set([at, before & (TURN - 1), Atomics.load(keys, 2 * at), Atomics.load(keys, 2 * at + 1)])
      numbers.set(values.subarray(at * doubles, (at + 1) * doubles))
      // While the turn stands, so do key and scores. What is being labelled was not counted yet by whoever saved the windows first.
      const after = Atomics.load(states, at)
      if ((after & -TURN) !== (before & -TURN) || (after & STATE) < PENDING || numbers[TIME]! < since) continue
      if ((before & STATE) === CLAIMED) words[1] = (before & (TURN - 1) & ~STATE) | (Number.isNaN(numbers[LABEL]) ? PENDING : LABELLED)
      found++
    }
    yield frame.subarray(0, found * bytes)
  }
}

/** Puts saved entries into a table that nobody uses yet. @param since those of an earlier time are left out */
export function takeFrame({ keys, values, states }: Table, frame: Buffer, since: number): void {
  const doubles = values.length / states.length
  const bytes = 4 * PLACE_WORDS + 8 * doubles
  for (let start = 0; start < frame.length; start += bytes) {
    const [at, word, high, low] = new Int32Array(frame.buffer, frame.byteOffset + start, PLACE_WORDS) as unknown as readonly [number, number, number, number]
    const numbers = new Float64Array(frame.buffer, frame.byteOffset + start + 4 * PLACE_WORDS, doubles)
    if (numbers[TIME]! < since) continue
    values.set(numbers, at * doubles)
    keys.set([high, low], 2 * at)
    Atomics.store(states, at, word)
  }
}
