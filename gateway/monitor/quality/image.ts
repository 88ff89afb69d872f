/**
 * What of labels outlives the process: the ids that wait, and the windows, all threads added up. Restored windows are put into the part of one
 * thread, where sums over the threads meet them once.
 *
 * Windows are copied before ids: whatever is predicted or labelled meanwhile may be missing after a kill, and is never counted twice.
 */
import type { Section } from '../snapshot.ts'
import type { Active } from './judge.ts'
import { layoutOf } from './layout.ts'
import type { Review } from './review.ts'
import { Ring } from './ring.ts'
import { type Setup, widthOf, windowsOf } from './setup.ts'
import { framesOf, tableOf, takeFrame } from './table.ts'

interface Facts {
  /** The window that is judged next. */
  readonly next: number
  readonly active: readonly (readonly [string, { readonly since: number; last: number }])[]
}

/** @param layout stands for the options that give `memory` its meaning */
export function idsSection(setup: Setup, layout: string, memory: SharedArrayBuffer, maxIds: number, wall: () => number): Section {
  const table = tableOf(memory, maxIds, widthOf(setup))
  return {
    name: 'ids',
    layout,
    frames: () => framesOf(table, wall() - setup.keep),
    take: (frame) => takeFrame(table, frame, wall() - setup.keep),
  }
}

/** @param parts of all threads @param mine into which is restored, by its only writer */
export function windowsSection(setup: Setup, layout: string, { all, mine }: { readonly all: readonly SharedArrayBuffer[]; readonly mine: SharedArrayBuffer }, review: Review, active: Active, wall: () => number): Section {
  const [windows, cells] = [windowsOf(setup), layoutOf(setup).size * (setup.groups.length + 1)]
  const rings = all.map((memory) => new Ring(memory, windows, cells))
  const own = new Ring(mine, windows, cells)
  const newest = (): number => Math.floor(wall() / setup.window)

  function* frames(): Generator<Uint8Array> {
    const facts: Facts = { next: review.next, active: [...active] }
    yield Buffer.from(JSON.stringify(facts))
    const last = newest()
    const sum = new Float64Array(cells)
    for (let window = Math.max(0, last - windows + 1); window <= last; window++) {
      if (rings.filter((ring) => ring.add(window, sum)).length === 0) continue
      yield sparse(window, sum)
      sum.fill(0)
    }
  }

  function take(frame: Buffer, i: number): void {
    if (i === 0) {
      const facts = JSON.parse(frame.toString()) as Facts
      review.resume(facts.next)
      for (const [key, value] of facts.active) active.set(key, value)
      return
    }
    const pairs = new Float64Array(frame.buffer, frame.byteOffset, frame.length / 8)
    const window = pairs[0]!
    if (window > newest() || window <= newest() - windows) return
    const slot = own.open(window)!
    for (let at = 1; at < pairs.length; at += 2) slot[1 + pairs[at]!] = pairs[at + 1]!
  }

  return { name: 'windows', layout, frames, take }
}

/** The window, then place and value of what is not 0. */
function sparse(window: number, cells: Float64Array): Uint8Array {
  const pairs = [window]
  for (let i = 0; i < cells.length; i++) if (cells[i] !== 0) pairs.push(i, cells[i]!)
  return new Uint8Array(Float64Array.from(pairs).buffer)
}
