/** From the words of the command line to a command. Pure: the words come in, nothing is read. */
import { parseArgs } from 'node:util'
import { timeOf } from '../profile/build/times.ts'
import type { DataFormat } from '../profile/read/table.ts'
import type { BacktestOrder, Command, ProfileOrder, ReplayOrder, Topic } from './orders.ts'

/** A mistake in the words; `help` says what to type instead. */
export class UsageError extends Error {
  readonly help: string
  constructor(message: string, help: string) {
    super(message)
    this.help = help
  }
}

interface Flag {
  readonly type: 'string' | 'boolean'
  readonly multiple?: boolean
  readonly short?: string
}

const FLAGS = {
  run: { to: { type: 'string' }, listen: { type: 'string' }, admin: { type: 'string' }, threads: { type: 'string' } },
  check: { connect: { type: 'boolean' } },
  explain: { header: { type: 'string', multiple: true, short: 'H' } },
  profile: {
    out: { type: 'string', short: 'o' }, time: { type: 'string' }, label: { type: 'string' }, prediction: { type: 'string' }, id: { type: 'string' },
    model: { type: 'string' }, columns: { type: 'string' }, format: { type: 'string' }, diff: { type: 'string' },
  },
  replay: {
    route: { type: 'string' }, to: { type: 'string' }, config: { type: 'string' }, rate: { type: 'string' }, speed: { type: 'string' }, where: { type: 'string' },
    limit: { type: 'string' }, connections: { type: 'string' }, compare: { type: 'string' }, tolerance: { type: 'string' }, json: { type: 'boolean' },
  },
  backtest: {
    config: { type: 'string' }, route: { type: 'string' }, time: { type: 'string' }, label: { type: 'string' }, prediction: { type: 'string' },
    from: { type: 'string' }, to: { type: 'string' }, limit: { type: 'string' }, json: { type: 'boolean' },
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
  if (topic === 'backtest') return { name: 'backtest', ...backtestOrder(values, positionals) }
  return topic === 'check' ? { name: 'check', file: file(topic, positionals, 1), connect: values['connect'] === true } : explain(values, positionals)
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

/** What a command line may look like, where it is not the configuration alone. */
const EXAMPLES: Partial<Record<Topic, string>> = {
  run: 'config/weir.yaml`, or `weir run --to http://127.0.0.1:8501',
  replay: 'log.jsonl --route NAME --to http://127.0.0.1:8080',
  backtest: 'traffic.csv --config config/weir.yaml --route NAME',
}

function file(topic: Topic, positionals: readonly string[], most: number): string {
  const [first] = positionals
  if (first === undefined) throw new UsageError(`\`weir ${topic}\` needs a file`, `Try \`weir ${topic} ${EXAMPLES[topic] ?? 'config/weir.yaml'}\`.`)
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
    columns: listed(text('columns')),
    format: dataFormat(text('format')),
    diff: diff === null ? null : [diff, data[0]!],
  }
}

function listed(names: string | null): string[] | null {
  return names?.split(',').map((name) => name.trim()).filter((name) => name !== '') ?? null
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
    rate: amount('replay', 'rate', text('rate')),
    speed: text('speed') === 'max' ? null : amount('replay', 'speed', text('speed')?.replace(/^x/, '') ?? null),
    where: text('where'),
    limit: amount('replay', 'limit', text('limit')) ?? Infinity,
    connections: Math.min(1000, Math.ceil(amount('replay', 'connections', text('connections')) ?? 16)),
    exact: compare === 'exact',
    tolerance: amount('replay', 'tolerance', text('tolerance')) ?? 1e-6,
    json: values['json'] === true,
  }
}

function backtestOrder(values: Values, positionals: readonly string[]): BacktestOrder {
  const text = (flag: string): string | null => (values[flag] as string | undefined) ?? null
  const [config, route] = [text('config'), text('route')]
  const name = file('backtest', positionals, 1)
  const missing = config === null ? 'config' : 'route'
  if (config === null || route === null) throw new UsageError(`\`weir backtest\` needs --${missing}`, `Try \`weir backtest ${name} --config weir.yaml --route churn\`.`)
  const [from, to] = [moment('from', text('from')) ?? -Infinity, moment('to', text('to')) ?? Infinity]
  if (from >= to) throw new UsageError('--from is not before --to', 'Rows from --from on and before --to are run.')
  return { file: name, config, route, time: text('time') ?? 'time', label: text('label'), predictions: listed(text('prediction')) ?? [], from, to, limit: amount('backtest', 'limit', text('limit')) ?? Infinity, json: values['json'] === true }
}

/** @returns Unix milliseconds; without a zone it is UTC, as in files */
function moment(flag: string, text: string | null): number | null {
  if (text === null) return null
  const time = timeOf(text)
  if (!Number.isNaN(time)) return time
  throw new UsageError(`--${flag} expects a date or a time, found "${text}"`, 'Try 2026-03-09 or 2026-03-09T12:00:00Z.')
}

function amount(topic: Topic, flag: string, text: string | null): number | null {
  if (text === null) return null
  const value = Number(text)
  if (text.trim() !== '' && value > 0 && value < Infinity) return value
  throw new UsageError(`--${flag} expects a number above 0, found "${text}"`, `See \`weir ${topic} --help\`.`)
}
