/** From the words of the command line to a command. Pure: the words come in, nothing is read. */
import { parseArgs } from 'node:util'
import type { DataFormat } from '../profile/read/table.ts'

export type Command =
  | { readonly name: 'help'; readonly topic: Topic | null }
  | { readonly name: 'version' }
  | ({ readonly name: 'run' } & Source)
  | { readonly name: 'check'; readonly file: string }
  | { readonly name: 'explain'; readonly file: string; readonly request: AskedRequest | null }
  | ({ readonly name: 'profile' } & ProfileOrder)
  | ({ readonly name: 'replay' } & ReplayOrder)

/** Where the configuration comes from: a file, or `--to`; the flags stand over what the file says. */
export interface Source {
  readonly file: string | null
  readonly to: string | null
  readonly listen: string | null
  readonly admin: string | null
  readonly threads: string | null
}

export interface AskedRequest {
  readonly method: string
  readonly target: string
  /** Flat. */
  readonly headers: readonly string[]
}

/** What `weir profile` makes, of which files and columns; or two profiles to be compared. */
export interface ProfileOrder {
  readonly data: readonly string[]
  /** null: standard output. */
  readonly out: string | null
  readonly time: string | null
  readonly label: string | null
  readonly prediction: string | null
  readonly id: string | null
  readonly model: { readonly name: string; readonly version: string } | null
  readonly columns: readonly string[] | null
  readonly format: DataFormat | null
  readonly diff: readonly [before: string, after: string] | null
}

/** Which requests `weir replay` sends again, where, how fast, and what counts as the same answer. */
export interface ReplayOrder {
  readonly file: string
  readonly route: string
  /** null: to where the configuration listens. */
  readonly to: string | null
  readonly config: string | null
  /** Requests a second; null = by `speed`. */
  readonly rate: number | null
  /** How often as fast as it was; null = as fast as it goes. */
  readonly speed: number | null
  readonly where: string | null
  readonly limit: number
  readonly connections: number
  readonly exact: boolean
  readonly tolerance: number
  readonly json: boolean
}

/** A mistake in the words; `help` says what to type instead. */
export class UsageError extends Error {
  readonly help: string
  constructor(message: string, help: string) {
    super(message)
    this.help = help
  }
}

export type Topic = 'run' | 'check' | 'explain' | 'profile' | 'replay'

interface Flag {
  readonly type: 'string' | 'boolean'
  readonly multiple?: boolean
  readonly short?: string
}

const FLAGS = {
  run: { to: { type: 'string' }, listen: { type: 'string' }, admin: { type: 'string' }, threads: { type: 'string' } },
  check: {},
  explain: { header: { type: 'string', multiple: true, short: 'H' } },
  profile: {
    out: { type: 'string', short: 'o' }, time: { type: 'string' }, label: { type: 'string' }, prediction: { type: 'string' }, id: { type: 'string' },
    model: { type: 'string' }, columns: { type: 'string' }, format: { type: 'string' }, diff: { type: 'string' },
  },
  replay: {
    route: { type: 'string' }, to: { type: 'string' }, config: { type: 'string' }, rate: { type: 'string' }, speed: { type: 'string' }, where: { type: 'string' },
    limit: { type: 'string' }, connections: { type: 'string' }, compare: { type: 'string' }, tolerance: { type: 'string' }, json: { type: 'boolean' },
  },
} as const satisfies Record<Topic, Record<string, Flag>>

const TOPICS = Object.keys(FLAGS) as Topic[]

/** @param words what stands behind the name of the program. @param nearest finds the name that was probably meant. @throws UsageError */
export function parseCommand(words: readonly string[], nearest: (name: string, valid: readonly string[]) => string | null): Command {
  const [first, ...rest] = words
  if (first === undefined || first === '--help' || first === '-h' || first === 'help') return { name: 'help', topic: topicOf(rest[0]) }
  if (first === '--version' || first === '-v' || first === 'version') return { name: 'version' }
  const topic = topicOf(first)
  if (topic === null) throw new UsageError(`there is no command "${first}"`, meant(nearest(first, TOPICS), 'weir '))
  if (rest.includes('--help') || rest.includes('-h')) return { name: 'help', topic }
  const { values, positionals } = readFlags(topic, rest, nearest)
  if (topic === 'run') return run(values, positionals)
  if (topic === 'profile') return { name: 'profile', ...profileOrder(values, positionals) }
  if (topic === 'replay') return { name: 'replay', ...replayOrder(values, positionals) }
  return topic === 'check' ? { name: 'check', file: file(topic, positionals, 1) } : explain(values, positionals)
}

function topicOf(word: string | undefined): Topic | null {
  return TOPICS.find((topic) => topic === word) ?? null
}

type Values = Readonly<Record<string, string | boolean | readonly (string | boolean)[] | undefined>>

function readFlags(topic: Topic, words: readonly string[], nearest: (name: string, valid: readonly string[]) => string | null): { values: Values; positionals: string[] } {
  const options: Record<string, Flag> = FLAGS[topic]
  const { tokens } = parseArgs({ args: [...words], options, strict: false, tokens: true, allowPositionals: true })
  for (const token of tokens) {
    if (token.kind !== 'option') continue
    const option = options[token.name]
    if (option === undefined) throw new UsageError(`\`weir ${topic}\` has no flag ${token.rawName}`, meant(nearest(token.name, Object.keys(options)), '--'))
    if (option.type === 'boolean' && token.value !== undefined) throw new UsageError(`${token.rawName} takes no value`, `See \`weir ${topic} --help\`.`)
    if (option.type === 'string' && (token.value === undefined || (token.inlineValue === false && token.value.startsWith('--')))) throw new UsageError(`${token.rawName} needs a value`, `See \`weir ${topic} --help\`.`)
    if (option.multiple !== true && tokens.some((other) => other !== token && other.kind === 'option' && other.name === token.name)) throw new UsageError(`${token.rawName} stands twice`, 'Give it once.')
  }
  const { values, positionals } = parseArgs({ args: [...words], options, strict: true, allowPositionals: true })
  return { values, positionals }
}

function meant(name: string | null, before: string): string {
  return name === null ? 'See `weir --help`.' : `Did you mean \`${before}${name}\`?`
}

function run(values: Values, positionals: readonly string[]): Command {
  const text = (flag: string): string | null => (values[flag] as string | undefined) ?? null
  const to = text('to')
  if (to !== null && positionals.length > 0) throw new UsageError('`weir run` takes a file or --to, not both', 'Put the url into the file as a backend, or leave the file out.')
  return { name: 'run', file: to === null ? file('run', positionals, 1) : null, to, listen: text('listen'), admin: text('admin'), threads: text('threads') }
}

function file(topic: Topic, positionals: readonly string[], most: number): string {
  const [first] = positionals
  if (first === undefined) throw new UsageError(`\`weir ${topic}\` needs a file`, topic === 'run' ? 'Try `weir run config/weir.yaml`, or `weir run --to http://127.0.0.1:8501`.' : `Try \`weir ${topic} config/weir.yaml\`.`)
  if (positionals.length > most) throw new UsageError(`\`weir ${topic}\` does not know what to do with "${positionals[most]}"`, `See \`weir ${topic} --help\`.`)
  return first
}

function explain(values: Values, positionals: readonly string[]): Command {
  const name = file('explain', positionals, 3)
  const [, method, target] = positionals
  const lines = (values['header'] ?? []) as readonly string[]
  if (method === undefined && lines.length === 0) return { name: 'explain', file: name, request: null }
  if (method === undefined || target === undefined) throw new UsageError('a request has a method and a path', 'Try `weir explain FILE POST /v2/models/fraud/infer`.')
  if (!target.startsWith('/')) throw new UsageError(`a path begins with "/", found "${target}"`, 'Try `weir explain FILE GET /`.')
  return { name: 'explain', file: name, request: { method, target, headers: lines.flatMap(headerPair) } }
}

function headerPair(line: string): [string, string] {
  const colon = line.indexOf(':')
  if (colon < 1) throw new UsageError(`-H expects "name: value", found "${line}"`, "Try -H 'x-tier: gold'.")
  return [line.slice(0, colon).trim(), line.slice(colon + 1).trim()]
}

function profileOrder(values: Values, data: readonly string[]): ProfileOrder {
  const text = (flag: string): string | null => (values[flag] as string | undefined) ?? null
  const diff = text('diff')
  if (diff !== null && (data.length !== 1 || Object.keys(values).length > 1)) throw new UsageError('`weir profile --diff` compares two profiles', 'Try `weir profile --diff before.json after.json`.')
  if (data.length === 0) throw new UsageError('`weir profile` needs data', 'Try `weir profile train.csv -o profile.json`.')
  return {
    data: diff === null ? data : [],
    out: text('out'), time: text('time'), label: text('label'), prediction: text('prediction'), id: text('id'),
    model: modelName(text('model')),
    columns: text('columns')?.split(',').map((name) => name.trim()).filter((name) => name !== '') ?? null,
    format: dataFormat(text('format')),
    diff: diff === null ? null : [diff, data[0]!],
  }
}

function modelName(text: string | null): ProfileOrder['model'] {
  if (text === null) return null
  const [name = '', version = '', ...rest] = text.split('/')
  if (name === '' || rest.length > 0) throw new UsageError(`--model expects NAME or NAME/VERSION, found "${text}"`, 'Try --model churn/1.')
  return { name, version }
}

function dataFormat(text: string | null): DataFormat | null {
  if (text === null || text === 'csv' || text === 'jsonl' || text === 'parquet') return text
  throw new UsageError(`--format expects csv, jsonl or parquet, found "${text}"`, 'Leave it out to go by the name of the file.')
}

function replayOrder(values: Values, positionals: readonly string[]): ReplayOrder {
  const text = (flag: string): string | null => (values[flag] as string | undefined) ?? null
  const [route, to, config, compare] = [text('route'), text('to'), text('config'), text('compare')]
  const name = file('replay', positionals, 1)
  if (route === null) throw new UsageError('`weir replay` needs --route', `Try \`weir replay ${name} --route fraud --to http://127.0.0.1:8080\`.`)
  if (to === null && config === null) throw new UsageError('`weir replay` needs --to or --config', 'Say where requests go: --to http://127.0.0.1:8080, or --config weir.yaml for where it listens.')
  if (text('rate') !== null && text('speed') !== null) throw new UsageError('`weir replay` takes --rate or --speed, not both', 'Leave one out.')
  if (compare !== null && compare !== 'exact' && compare !== 'numeric') throw new UsageError(`--compare expects exact or numeric, found "${compare}"`, 'Leave it out for numeric.')
  return {
    file: name, route, to, config,
    rate: amount('rate', text('rate')),
    speed: text('speed') === 'max' ? null : amount('speed', text('speed')?.replace(/^x/, '') ?? null),
    where: text('where'),
    limit: amount('limit', text('limit')) ?? Infinity,
    connections: Math.min(1000, Math.ceil(amount('connections', text('connections')) ?? 16)),
    exact: compare === 'exact',
    tolerance: amount('tolerance', text('tolerance')) ?? 1e-6,
    json: values['json'] === true,
  }
}

function amount(flag: string, text: string | null): number | null {
  if (text === null) return null
  const value = Number(text)
  if (text.trim() !== '' && value > 0 && value < Infinity) return value
  throw new UsageError(`--${flag} expects a number above 0, found "${text}"`, 'See `weir replay --help`.')
}
