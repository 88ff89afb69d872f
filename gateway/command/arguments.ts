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

/** A mistake in the words; `help` says what to type instead. */
export class UsageError extends Error {
  readonly help: string
  constructor(message: string, help: string) {
    super(message)
    this.help = help
  }
}

export type Topic = 'run' | 'check' | 'explain' | 'profile'

const FLAGS = {
  run: { to: { type: 'string' }, listen: { type: 'string' }, admin: { type: 'string' }, threads: { type: 'string' } },
  check: {},
  explain: { header: { type: 'string', multiple: true, short: 'H' } },
  profile: {
    out: { type: 'string', short: 'o' }, time: { type: 'string' }, label: { type: 'string' }, prediction: { type: 'string' }, id: { type: 'string' },
    model: { type: 'string' }, columns: { type: 'string' }, format: { type: 'string' }, diff: { type: 'string' },
  },
} as const satisfies Record<Topic, Record<string, { type: 'string'; multiple?: boolean; short?: string }>>

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
  return topic === 'check' ? { name: 'check', file: file(topic, positionals, 1) } : explain(values, positionals)
}

function topicOf(word: string | undefined): Topic | null {
  return TOPICS.find((topic) => topic === word) ?? null
}

type Values = Readonly<Record<string, string | readonly string[] | undefined>>

function readFlags(topic: Topic, words: readonly string[], nearest: (name: string, valid: readonly string[]) => string | null): { values: Values; positionals: string[] } {
  const options: Record<string, { type: 'string'; multiple?: boolean; short?: string }> = FLAGS[topic]
  const { tokens } = parseArgs({ args: [...words], options, strict: false, tokens: true, allowPositionals: true })
  for (const token of tokens) {
    if (token.kind !== 'option') continue
    const option = options[token.name]
    if (option === undefined) throw new UsageError(`\`weir ${topic}\` has no flag ${token.rawName}`, meant(nearest(token.name, Object.keys(options)), '--'))
    if (token.value === undefined || (token.inlineValue === false && token.value.startsWith('--'))) throw new UsageError(`${token.rawName} needs a value`, `See \`weir ${topic} --help\`.`)
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

// ---------------------------------------------------------------- help

const HELP: Readonly<Record<Topic, string>> = {
  run: `weir run FILE [--listen ADDRESS] [--admin ADDRESS] [--threads N]
weir run --to URL [--listen ADDRESS] [--admin ADDRESS] [--threads N]

Runs the gateway. FILE is its YAML; --to proxies everything to one backend without a file.
  --listen ADDRESS   where callers come in: :8080, 127.0.0.1:8080, [::1]:8080 or unix:/run/weir.sock
  --admin ADDRESS    where /metrics, /ready and the rest are; off for none
  --threads N        data threads, or auto
SIGHUP or a change of the file reloads it; SIGTERM stops gracefully, a second one at once.
`,
  check: `weir check FILE

Reads the configuration and lists every problem as file:line:column, path, rule, what was found and what to do.
Exit code 0: it can run; 2: it cannot.
`,
  explain: `weir explain FILE [METHOD PATH [-H 'name: value' …]]

Prints the configuration with every default filled in. With a request: which route takes it, why the routes before
it do not, which plugins run in which order, and where it goes.
`,
  profile: `weir profile DATA... [-o FILE] [--time COLUMN] [--label COLUMN] [--prediction COLUMN] [--id COLUMN]
             [--model NAME[/VERSION]] [--columns a,b] [--format csv|jsonl|parquet]
weir profile --diff BEFORE AFTER

Reads data once and writes what they look like as JSON: types, presence, ranges, distributions, frequent values, and why
each line says so. It is the baseline of the plugins schema and drift. DATA are files or folders (weir's own lake too).
  -o FILE              where the profile goes; standard output without
  --time COLUMN        when a row was; without, the first column of times
  --label COLUMN       the truth;  --prediction COLUMN  what a model said;  --id COLUMN  what names a row
  --model NAME/VERSION the model that was trained on these data
  --columns a,b        only these columns
  --format FORMAT      what the files are, whatever their names end in
  --diff BEFORE AFTER  what two profiles differ in, in sentences
Exit code 0: done; 2: the data or the command line are wrong.
`,
}

export function helpText(topic: Topic | null): string {
  if (topic !== null) return HELP[topic]
  return `weir: the gateway in front of your models

  weir run FILE                     run the gateway that FILE describes
  weir run --to URL                 proxy to one backend, without a file
  weir check FILE                   every problem of FILE, with its place
  weir explain FILE [METHOD PATH]   the effective configuration; what would happen to a request
  weir profile DATA -o FILE         what a data set looks like: the baseline of schema and drift
  weir --version
  weir COMMAND --help

Exit codes: 0 done, 1 it could not run, 2 the configuration or the command line is wrong.
`
}
