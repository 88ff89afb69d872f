/** What a backtest found: as JSON, and as a timeline for people. */
import type { Outcome } from './backtest.ts'
import type { Raised } from './stage.ts'

/** Alarms that are listed one by one for people. */
const SHOWN = 200

export function reportJson({ rows, alarms }: Outcome): string {
  const told = alarms.map(({ time, kind, feature, statistic, score, threshold, reason }) => ({ time: iso(time), kind, feature, statistic, score, threshold, reason }))
  return `${JSON.stringify({ rows, alarms: told })}\n`
}

export function reportText(outcome: Outcome, file: string, route: string): string {
  const { rows, from, to, alarms } = outcome
  const span = from === null || to === null ? '' : `, ${iso(from)} to ${iso(to)} (${days(to - from)})`
  const lines = [`route ${route}, ${file}: ${rows.toLocaleString('en-US')} rows${span}`, `answers: ${answers(outcome)}`]
  if (outcome.labels.given > 0) lines.push(`labels: ${outcome.labels.given.toLocaleString('en-US')}`)
  if (alarms.length === 0) return `${[...lines, '', 'No alarm.'].join('\n')}\n`
  lines.push('', ...alarms.slice(0, SHOWN).flatMap(timeline))
  if (alarms.length > SHOWN) lines.push(`and ${alarms.length - SHOWN} more`)
  return `${[...lines, '', ...summary(alarms)].join('\n')}\n`
}

/** What was not as it is when the gateway runs. */
export function notes({ answers: counted, labels, stoodIn, records, ended }: Outcome, predictions: boolean): string[] {
  const lines: string[] = []
  for (const [name, { asked, unknown }] of stoodIn) {
    if (asked === 0) continue
    if (unknown === 0) lines.push(`backend ${name} was not asked: its ${count(asked, 'answer')} came from the file`)
    else lines.push(`backend ${name} was not asked and the file does not say what it answers (${unknown} of ${count(asked, 'request')}): monitors of answers saw none${predictions ? '' : '; --prediction COLUMN says which columns the model gave'}`)
  }
  for (const [key, { count: times, message }] of counted) if (message !== '') lines.push(`${count(times, 'request')} ${key === 'not made' ? 'could not be made' : `got ${key}`}, the first: ${message}`)
  if (labels.refused > 0) lines.push(`${count(labels.refused, 'label')} of ${labels.given} not taken, the first: ${labels.first}`)
  if (records > 0) lines.push(`${count(records, 'record')} of log went nowhere`)
  if (ended > 0) lines.push(`${count(ended, 'alarm')} left out that there were only because the file ends`)
  return lines
}

function answers({ answers: counted }: Outcome): string {
  return [...counted].map(([key, { count: times }]) => `${key} × ${times.toLocaleString('en-US')}`).join(', ') || 'none'
}

function timeline({ time, kind, feature, statistic, score, threshold, reason }: Raised): string[] {
  return [`${minute(time)}  ${kind.padEnd(10)}  ${feature === '' ? '(route)' : feature}  ${statistic} ${figure(score)} (threshold ${figure(threshold)})`, `    ${reason}`]
}

/** A line a feature and kind, in the order of their first alarms. */
function summary(alarms: readonly Raised[]): string[] {
  const groups = [...Map.groupBy(alarms, ({ kind, feature }) => `${kind} ${feature}`).values()]
  const cells = groups.map((group): string[] => [group[0]!.feature === '' ? '(route)' : group[0]!.feature, group[0]!.kind, String(group.length), minute(group[0]!.time), minute(group.at(-1)!.time)])
  const table = [['feature', 'kind', 'alarms', 'first', 'last'], ...cells]
  const widths = table[0]!.map((_, i) => Math.max(...table.map((line) => line[i]!.length)))
  return table.map((line) => line.map((cell, i) => cell.padEnd(widths[i]!)).join('  ').trimEnd())
}

function iso(time: number): string {
  return new Date(time).toISOString()
}

function minute(time: number): string {
  return `${iso(time).slice(0, 16)}Z`
}

function figure(value: number): string {
  return Number.isInteger(value) ? String(value) : value.toPrecision(3)
}

function count(times: number, what: string): string {
  return `${times.toLocaleString('en-US')} ${what}${times === 1 ? '' : 's'}`
}

function days(ms: number): string {
  const hours = ms / 3_600_000
  return hours < 48 ? `${hours.toFixed(1)} hours` : `${(hours / 24).toFixed(1)} days`
}
