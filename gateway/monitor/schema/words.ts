/** Anomalies for people: what was expected, what was found. */
import type { FeatureType } from '../../profile/profile.ts'
import { listed, shown } from '../words.ts'
import { BIG, DOMAIN, INFINITE, LONG, MISSING, NAN, NULL, SHORT, SMALL, TYPE } from './anomalies.ts'
import type { FeatureRule } from './rules.ts'
import type { Found } from './validator.ts'

const NOUNS: Readonly<Record<FeatureType, string>> = { INT: 'a whole number', FLOAT: 'a number', BYTES: 'a string', BOOL: 'true or false' }

export function expected(rule: FeatureRule, kind: number): string {
  const { type, min, max, values, length } = rule
  switch (kind) {
    case TYPE:
      return type === null ? 'any value' : NOUNS[type]
    case DOMAIN:
      return `one of ${listed(values ?? [])}`
    case BIG:
      return `at most ${max}`
    case SMALL:
      return `at least ${min}`
    case SHORT:
    case LONG:
      return length[0] === length[1] ? (length[0] === 1 ? 'one value' : `a list of ${length[0]}`) : `a list of ${length[0]} to ${length[1]}`
    case NAN:
    case INFINITE:
      return 'a finite number'
    default:
      return 'a value'
  }
}

export function found({ kind, value }: Found): string {
  switch (kind) {
    case MISSING:
      return 'no such column'
    case NULL:
      return 'null'
    case SHORT:
    case LONG:
      return value === 1 ? 'one value' : `a list of ${String(value)}`
    default:
      return shown(value)
  }
}
