/**
 * Coordinated sampling by id (Duffield and Grossglauser 2001, "trajectory sampling"): whoever knows the id and the share comes to the same
 * decision, without asking anybody. A log, a join of labels and a job in the warehouse keep the same exchanges; a smaller share keeps a
 * subset of what a larger one keeps.
 */
import { uniform } from './hash.ts'

/** True for the share `p` of all ids: hash(id) < p. @param p 0 to 1 */
export function sampled(id: string, p: number): boolean {
  return p >= 1 || (p > 0 && uniform(id) < p)
}
