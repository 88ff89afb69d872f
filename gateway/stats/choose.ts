/**
 * Weighted choice, the same for the same unit.
 *
 * Weighted rendezvous hashing (Thaler & Ravishankar 1998; weights by exponential variates, Schindelhauer & Schomaker 2005):
 * every arm draws −ln(u)/weight with u = uniform(salt NUL arm NUL unit), the smallest draw wins. An arm wins with
 * probability weight / sum of weights exactly, because −ln(u)/w is exponential with rate w.
 *
 * Why not ranges of one line: with three or more arms no layout keeps everybody in an arm whose share grew when two shares grow
 * at once. Here a unit leaves its arm only for one whose weight grew *relative to it*: raising one arm's weight only adds units
 * to that arm, taking an arm away moves only its own units, and the order in which arms are written means nothing.
 */
import { uniform } from './hash.ts'

export interface Weighted {
  readonly name: string
  /** Above 0. */
  readonly weight: number
}

/** @returns the index of the arm of `unit` */
export function choose(arms: readonly Weighted[], salt: string, unit: string): number {
  let best = 0
  let least = Infinity
  for (let i = 0; i < arms.length; i++) {
    const arm = arms[i]!
    const draw = -Math.log(uniform(`${salt}\0${arm.name}\0${unit}`)) / arm.weight
    if (draw < least || (draw === least && arm.name < arms[best]!.name)) {
      best = i
      least = draw
    }
  }
  return best
}

/** @param u uniform in [0, 1). @returns the index of the arm whose stretch of the line holds u */
export function draw(arms: readonly Weighted[], u: number): number {
  let rest = u * arms.reduce((sum, arm) => sum + arm.weight, 0)
  for (let i = 0; i < arms.length - 1; i++) {
    rest -= arms[i]!.weight
    if (rest < 0) return i
  }
  return arms.length - 1
}
