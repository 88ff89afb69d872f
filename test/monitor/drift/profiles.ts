/** Profiles by hand: of values that a test made. */
import { cellOf, GRID_CELLS } from '../../../gateway/stats/grid.ts'
import { affineOf } from '../../../gateway/stats/affine.ts'
import type { CategoricalProfile, FeatureProfile, FeatureRole, NumericProfile, Profile } from '../../../gateway/profile/profile.ts'

export function profileOf(features: Readonly<Record<string, FeatureProfile>>, rows = 1000): Profile {
  return { weir_profile: 1, source: { file: 'train.csv', sha256: '', rows }, model: null, time: null, features }
}

export function numbers(values: readonly number[], more: Partial<FeatureProfile> = {}): FeatureProfile {
  return { ...base(values.length, 'FLOAT', 'feature'), numeric: numericOf(values), ...more }
}

export function numericOf(values: readonly number[]): NumericProfile {
  const sorted = [...values].sort((a, b) => a - b)
  const { centre, scale } = affineOf(sorted)
  const cells = new Uint32Array(GRID_CELLS)
  for (const value of values) cells[cellOf((value - centre) / scale)]!++
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  const sd = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length)
  const [min, max] = [sorted[0]!, sorted.at(-1)!]
  return {
    count: values.length, min, max, mean, sd, zeros: 0, quantiles: {}, hard: [min, max], soft: [min, max],
    grid: { centre, scale, cells: [...cells].flatMap((n, cell): [number, number][] => (n > 0 ? [[cell, n]] : [])) },
  }
}

/** @param counts by value, the most frequent first */
export function categories(counts: Readonly<Record<string, number>>, more: Partial<FeatureProfile> = {}, domain = true): FeatureProfile {
  const values = Object.entries(counts)
  const rows = values.reduce((sum, [, count]) => sum + count, 0)
  const categorical: CategoricalProfile = { distinct: values.length, values, other: 0, domain, min_domain_mass: 0.99 }
  return { ...base(rows, 'BYTES', 'feature'), categorical, ...more }
}

function base(rows: number, type: FeatureProfile['type'], role: FeatureRole): FeatureProfile {
  return { role, type, presence: { rows, absent: 0, nulls: 0, nan: 0, infinite: 0, min_fraction: 1 }, value_count: [1, 1], numeric: null, categorical: null, sentinels: [], why: [] }
}

/** Numbers in (0, 1): mulberry32. */
export function random(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

/** Box and Muller. */
export function normals(seed: number): () => number {
  const next = random(seed)
  return () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next())
}

export function times<T>(n: number, make: (i: number) => T): T[] {
  return Array.from({ length: n }, (_, i) => make(i))
}
