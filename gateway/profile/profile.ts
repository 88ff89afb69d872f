/**
 * A profile: what a data set looked like, as JSON that people can read and diff. The baseline of `schema`, `drift`, `labels` and
 * outliers. Plain data; `check.ts` reads and checks a file, `weir profile` makes one.
 */

/** TFDV's feature types (tensorflow/metadata schema.proto, `FeatureType`), BOOL apart. */
export type FeatureType = 'INT' | 'FLOAT' | 'BYTES' | 'BOOL'

/** What a column is for. Only `feature`, `prediction` and `label` are watched for drift. */
export type FeatureRole = 'feature' | 'identifier' | 'time' | 'constant' | 'prediction' | 'label'

export interface Profile {
  /** Version of this layout. */
  readonly weir_profile: 1
  readonly source: { readonly file: string; readonly sha256: string; readonly rows: number }
  /** The model whose training data this is; null = not told. */
  readonly model: { readonly name: string; readonly version: string } | null
  /** The column of time and what it spans (ISO 8601), or null. */
  readonly time: { readonly column: string; readonly from: string; readonly to: string } | null
  /** By column, in the order of the data. */
  readonly features: Readonly<Record<string, FeatureProfile>>
}

export interface FeatureProfile {
  readonly role: FeatureRole
  readonly type: FeatureType
  readonly presence: Presence
  /** Values a row: [1, 1] for a scalar. Of lists, the least and the most. */
  readonly value_count: readonly [number, number]
  /** INT and FLOAT. */
  readonly numeric: NumericProfile | null
  /** BYTES and BOOL, and integers that are codes. */
  readonly categorical: CategoricalProfile | null
  /** Values that stand for "not known" (−1, −999, "", "unknown"), the most frequent first. */
  readonly sentinels: readonly Sentinel[]
  /** Values of another type than `type` (texts among numbers); absent: none. They count as present and nowhere else. */
  readonly violations?: { readonly values: number; readonly examples: readonly string[] }
  /** What windows of these data differ by from the whole of them, by the length of the window ("1h", "6h", "1d"); absent without times. */
  readonly floors?: Readonly<Record<string, Floor>>
  /** What hours of the day differ by; absent without times, or when they cover less than two days. */
  readonly season?: Season
  /** Why each line says what it says; one sentence each. */
  readonly why: readonly string[]
}

/** An empirical noise floor (NannyML's thresholds from reference chunks). Quantiles over windows (nearest rank): "0.5", "0.9" and "1", the largest. */
export interface Floor {
  /** Windows compared, and the median number of values in one. Windows with less than 30 are left out. */
  readonly windows: number
  readonly rows: number
  /** On about ten groups of equal mass (`stats/groups.ts`), of categories on the twenty most frequent and the rest. Debiased: what so few values explain is taken off. */
  readonly js_bits: Readonly<Record<string, number>>
  /** Of the same groups. Not debiased. */
  readonly l_infinity: Readonly<Record<string, number>>
}

export interface Season {
  readonly period: '1d'
  /** Numeric: means of the lowest and the highest hour of the day, off the mean of all in standard deviations. Else: 0 and the largest L∞ of an hour of the day. */
  readonly unit: 'sd' | 'l_infinity'
  readonly low: number
  readonly high: number
}

export interface Presence {
  readonly rows: number
  /** Neither the key nor a value. */
  readonly absent: number
  readonly nulls: number
  /** NaN and ±Infinity count apart from nulls. */
  readonly nan: number
  readonly infinite: number
  /** Lower bound of the share of rows with a value: Wilson at 99.9 %, or 1 where nothing is missing in many rows. */
  readonly min_fraction: number
}

export interface NumericProfile {
  /** Of finite values. */
  readonly count: number
  readonly min: number
  readonly max: number
  readonly mean: number
  /** Population standard deviation. */
  readonly sd: number
  readonly zeros: number
  /** Probabilities ("0.001", "0.01", "0.05", "0.1" … "0.999") to values, linear interpolation (R's type 7) or, of many different values, interpolated in the grid's cells. */
  readonly quantiles: Readonly<Record<string, number>>
  /** Values outside were never seen (hard) or hardly expected (soft: [q0.001 − 3·IQR, q0.999 + 3·IQR], cut at 0 for what is never negative; sentinels left out). */
  readonly hard: readonly [number, number]
  readonly soft: readonly [number, number]
  /** The fine grid of `stats/grid.ts`: cell = cellOf((x − centre) / scale). */
  readonly grid: { readonly centre: number; readonly scale: number; readonly cells: readonly (readonly [cell: number, count: number])[] }
}

export interface CategoricalProfile {
  /** Exact up to a bound, an estimate (HyperLogLog) beyond. */
  readonly distinct: number
  /** Most frequent first, then by value; bounded. */
  readonly values: readonly (readonly [value: string, count: number])[]
  /** Values that are not listed. */
  readonly other: number
  /** The values are a closed domain: others are anomalies. */
  readonly domain: boolean
  /** Lower bound of the share of values in the domain (TFDV's `distribution_constraints.min_domain_mass`). */
  readonly min_domain_mass: number
}

export interface Sentinel {
  readonly value: string | number
  readonly share: number
  readonly why: string
}
