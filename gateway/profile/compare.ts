/** What two profiles differ in, in sentences. */
import { debiased, jsBits, jsBias, lInfinity, occupied } from '../stats/divergence.ts'
import { GRID_CELLS } from '../stats/grid.ts'
import { coarsen, countGroups } from '../stats/groups.ts'
import type { CategoricalProfile, FeatureProfile, NumericProfile, Profile } from './profile.ts'

/** Below, a change of a share or of a score is not told. */
const TELL_SHARE = 0.01
const TELL_JS = 0.005
const TELL_SHIFT = 0.05
const GROUPS = 10
const SHOWN = 5

/** Nothing: they say the same of the data. */
export function compareProfiles(before: Profile, after: Profile): string[] {
  const names = [...new Set([...Object.keys(before.features), ...Object.keys(after.features)])]
  return [...compareHeads(before, after), ...names.flatMap((name) => compareColumn(name, before.features[name], after.features[name]))]
}

function compareHeads(before: Profile, after: Profile): string[] {
  const model = (profile: Profile): string => (profile.model === null ? 'no model' : `${profile.model.name}/${profile.model.version}`)
  const span = (profile: Profile): string => (profile.time === null ? 'no times' : `${profile.time.from} to ${profile.time.to}`)
  return [
    changed('rows', String(before.source.rows), String(after.source.rows)),
    changed('model', model(before), model(after)),
    changed('time', span(before), span(after)),
  ].filter((line) => line !== null)
}

function changed(what: string, before: string, after: string): string | null {
  return before === after ? null : `${what}: ${before} → ${after}`
}

function compareColumn(name: string, before: FeatureProfile | undefined, after: FeatureProfile | undefined): string[] {
  if (before === undefined) return [`${name}: is new (${after!.type}, ${after!.role})`]
  if (after === undefined) return [`${name}: is gone (was ${before.type}, ${before.role})`]
  return [
    changed('type', before.type, after.type),
    changed('role', before.role, after.role),
    changed('values a row', before.value_count.join(' to '), after.value_count.join(' to ')),
    share('rows without a value', missing(before), missing(after)),
    share('NaN', before.presence.nan / Math.max(1, before.presence.rows), after.presence.nan / Math.max(1, after.presence.rows)),
    ...(before.numeric === null || after.numeric === null ? [] : compareNumbers(before.numeric, after.numeric)),
    ...(before.categorical === null || after.categorical === null ? [] : compareValues(before.categorical, after.categorical)),
    ...compareSentinels(before, after),
  ].filter((line) => line !== null).map((line) => `${name}: ${line}`)
}

function missing({ presence }: FeatureProfile): number {
  return (presence.absent + presence.nulls) / Math.max(1, presence.rows)
}

function share(what: string, before: number, after: number): string | null {
  const news = (before === 0) !== (after === 0) || Math.abs(before - after) >= TELL_SHARE
  return news ? `${what}: ${percent(before)} → ${percent(after)}` : null
}

function compareNumbers(before: NumericProfile, after: NumericProfile): (string | null)[] {
  return [changed('range', before.hard.join(' to '), after.hard.join(' to ')), shift(before, after), distribution(before, after)]
}

function shift(before: NumericProfile, after: NumericProfile): string | null {
  const sds = before.sd === 0 ? 0 : (after.mean - before.mean) / before.sd
  const quartiles = ({ quantiles }: NumericProfile): string => ['0.25', '0.5', '0.75'].map((p) => quantiles[p]).join(', ')
  return Math.abs(sds) < TELL_SHIFT ? null : `mean: ${round(before.mean)} → ${round(after.mean)} (${sds > 0 ? '+' : ''}${round(sds)} standard deviations); quartiles ${quartiles(before)} → ${quartiles(after)}`
}

/** Grids of other centres and scales have no cells in common; their quantiles have been told. */
function distribution(before: NumericProfile, after: NumericProfile): string | null {
  if (before.grid.centre !== after.grid.centre || before.grid.scale !== after.grid.scale) return null
  const [a, b] = [cellsOf(before), cellsOf(after)]
  const groups = coarsen(a, GROUPS)
  const [p, q] = [countGroups(groups, a), countGroups(groups, b)]
  const js = debiased(jsBits(p, q), jsBias(occupied(p, q), before.count, after.count))
  return js >= TELL_JS ? `distribution: ${round(js)} bits apart (Jensen–Shannon divergence, debiased)` : null
}

function cellsOf({ grid }: NumericProfile): Uint32Array {
  const cells = new Uint32Array(GRID_CELLS)
  for (const [cell, count] of grid.cells) cells[cell] = count
  return cells
}

function compareValues(before: CategoricalProfile, after: CategoricalProfile): (string | null)[] {
  const [was, is] = [new Map(before.values), new Map(after.values)]
  const lost = [...was.keys()].filter((value) => !is.has(value))
  const found = [...is.keys()].filter((value) => !was.has(value))
  const whole = before.other === 0 && after.other === 0
  return [
    changed('domain', before.domain ? 'closed' : 'open', after.domain ? 'closed' : 'open'),
    changed('different values', String(before.distinct), String(after.distinct)),
    whole && found.length > 0 ? `new values: ${listed(found)} (${percent(sum(found, is) / total(after))})` : null,
    whole && lost.length > 0 ? `values gone: ${listed(lost)} (were ${percent(sum(lost, was) / total(before))})` : null,
    largest(was, is, total(before), total(after)),
  ]
}

function largest(was: ReadonlyMap<string, number>, is: ReadonlyMap<string, number>, n: number, m: number): string | null {
  const values = [...new Set([...was.keys(), ...is.keys()])]
  const [a, b] = [was, is].map((counts) => values.map((value) => counts.get(value) ?? 0))
  const { distance, index } = lInfinity([...a!, n - sum(values, was)], [...b!, m - sum(values, is)])
  const value = values[index]
  if (!(distance >= TELL_SHARE)) return null
  return `shares: the largest change is of ${value === undefined ? 'the values that are not listed' : JSON.stringify(value)}, ${percent((a![index] ?? n - sum(values, was)) / n)} → ${percent((b![index] ?? m - sum(values, is)) / m)}`
}

function total({ values, other }: CategoricalProfile): number {
  return values.reduce((all, [, count]) => all + count, other)
}

function sum(values: readonly string[], counts: ReadonlyMap<string, number>): number {
  return values.reduce((all, value) => all + (counts.get(value) ?? 0), 0)
}

function compareSentinels(before: FeatureProfile, after: FeatureProfile): string[] {
  const values = (profile: FeatureProfile): string[] => profile.sentinels.map(({ value }) => JSON.stringify(value))
  const [was, is] = [values(before), values(after)]
  const told = (found: readonly string[], what: string): string[] => (found.length === 0 ? [] : [`${what}: ${found.join(', ')}`])
  return [...told(is.filter((value) => !was.includes(value)), 'values that now stand for "not known"'), ...told(was.filter((value) => !is.includes(value)), 'values that no longer stand for "not known"')]
}

function listed(values: readonly string[]): string {
  const shown = values.slice(0, SHOWN).map((value) => JSON.stringify(value)).join(', ')
  return values.length > SHOWN ? `${shown} and ${values.length - SHOWN} more` : shown
}

function percent(value: number): string {
  return `${round(100 * value)} %`
}

function round(value: number): number {
  return Number(value.toPrecision(4))
}
