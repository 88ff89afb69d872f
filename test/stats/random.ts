/** Seeded randomness for simulations: mulberry32, normal deviates by Box and Muller. */
export interface Random {
  /** Uniform in [0, 1). */
  uniform(): number
  normal(): number
  /** Counts of `n` draws from cells with these cumulative shares (ascending, the last 1). */
  counts(cumulative: readonly number[], n: number): number[]
}

export function random(seed: number): Random {
  let state = seed | 0
  const uniform = () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
  const normal = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform())
  const counts = (cumulative: readonly number[], n: number) => {
    const into = cumulative.map(() => 0)
    for (let i = 0; i < n; i++) {
      const u = uniform()
      into[cumulative.findIndex((share) => u < share)]!++
    }
    return into
  }
  return { uniform, normal, counts }
}

/** Cumulative shares of k equal cells. */
export function even(k: number): number[] {
  return Array.from({ length: k }, (_, i) => (i + 1) / k)
}
