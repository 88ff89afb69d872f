/** What can be wrong with a feature, by the names of TensorFlow Data Validation (tensorflow/metadata anomalies.proto, `AnomalyInfo.Type`). */
import type { FeatureType } from '../../profile/profile.ts'

/** Kinds of anomalies of one feature: index into whatever is kept by kind. */
export const MISSING = 0
export const NULL = 1
export const TYPE = 2
export const DOMAIN = 3
export const BIG = 4
export const SMALL = 5
export const NAN = 6
export const INFINITE = 7
export const SHORT = 8
export const LONG = 9
export const KINDS = 10

/** Anomalies of no single feature. */
export const NEW_COLUMN = 'SCHEMA_NEW_COLUMN'
export const UNREADABLE = 'STATS_NOT_AVAILABLE'
export const FEW_ROWS = 'DATASET_LOW_NUM_EXAMPLES'
export const MANY_ROWS = 'DATASET_HIGH_NUM_EXAMPLES'

const NAMES = [
  'SCHEMA_MISSING_COLUMN', 'FEATURE_TYPE_LOW_FRACTION_PRESENT', 'UNEXPECTED_DATA_TYPE', 'ENUM_TYPE_UNEXPECTED_STRING_VALUES', 'FLOAT_TYPE_BIG_FLOAT', 'FLOAT_TYPE_SMALL_FLOAT', 'FLOAT_TYPE_HAS_NAN',
  'FLOAT_TYPE_HAS_INF', 'FEATURE_TYPE_LOW_NUMBER_VALUES', 'FEATURE_TYPE_HIGH_NUMBER_VALUES',
] as const
const OF_INTEGERS: Readonly<Record<number, string>> = { [BIG]: 'INT_TYPE_BIG_INT', [SMALL]: 'INT_TYPE_SMALL_INT' }

/** All names: the values of a metric's label. */
export const ANOMALIES: readonly string[] = [...NAMES, ...Object.values(OF_INTEGERS), NEW_COLUMN, UNREADABLE, FEW_ROWS, MANY_ROWS]

export function nameOf(kind: number, type: FeatureType | null): string {
  return (type === 'INT' ? OF_INTEGERS[kind] : undefined) ?? NAMES[kind]!
}

/** The share of rows that is compared with what is tolerated, as alarms call it. */
export const STATISTICS: readonly string[] = [
  'missing_share', 'null_share', 'type_share', 'unexpected_share', 'above_share', 'below_share', 'nan_share', 'infinite_share', 'short_share', 'long_share',
]
