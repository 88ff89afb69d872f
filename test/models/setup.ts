/** Models under test, from a folder to the answer, in this thread and on the inference thread. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { MessagePort } from 'node:worker_threads'
import type { BackendConfig, Config, ModelsConfig } from '../../config/config.ts'
import { systemClock } from '../../gateway/clock.ts'
import { Answer, type Backend, Exchange, type Format, Leg, type Send } from '../../gateway/exchange.ts'
import { Registry } from '../../gateway/metrics.ts'
import { InferenceClient } from '../../gateway/models/inference/client.ts'
import type { ModelIssue } from '../../gateway/models/repository/complaints.ts'
import { createLibrary, type LibraryDeps, ModelSet } from '../../gateway/models/repository/model_set.ts'
import type { ModelsDescription } from '../../gateway/models/description.ts'
import { createModels, type Models } from '../../gateway/models/models.ts'
import { builtinRoutes } from '../../gateway/models/endpoints.ts'
import type { Operator } from '../../gateway/models/operator.ts'
import { residentsOf } from '../../gateway/models/residents.ts'
import type { BuiltinRoute } from '../../gateway/models/protocol/route.ts'
import type { Log } from '../../gateway/plugin.ts'

export const fixtures = join(import.meta.dirname, '../fixtures/models')
export const badModels = join(import.meta.dirname, '../fixtures/bad_models')

/** The folder with the models that are too large for the project, or null. */
export const largeModels = findLarge()

function findLarge(): string | null {
  const root = process.env.WEIR_TEST_DATA
  if (root === undefined) return null
  return [root, join(root, 'models')].find((folder) => existsSync(join(folder, 'heavy/1/model.onnx'))) ?? null
}

export interface LogLine {
  readonly level: string
  readonly message: string
  readonly fields: Readonly<Record<string, unknown>>
}

export function memoryLog(): Log & { readonly lines: LogLine[] } {
  const lines: LogLine[] = []
  const at = (level: string) => (message: string, fields: Readonly<Record<string, unknown>> = {}) => void lines.push({ level, message, fields })
  return { lines, debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}

/** Requests that may wait for the inference thread. */
export const QUEUE = 64

export function configOf(models: ModelsConfig | null, backends: Record<string, BackendConfig> = {}): Config {
  const inference = { threads: 1, intra_op_threads: 1, queue: QUEUE }
  return { models, backends, inference } as unknown as Config
}

/** A repository with every option at its plainest. */
export function repositoryConfig(path: string, more: Partial<ModelsConfig> = {}): ModelsConfig {
  return { path, placement: 'auto', versions: 'all', labels: {}, batching: null, watch_ms: 0, control: 'none', ...more }
}

export function onnx(name: string, path: string, options: { placement?: 'auto' | 'inline' | 'thread'; columns?: string[] } = {}): BackendConfig {
  return { kind: 'onnx', name, path, placement: options.placement ?? 'auto', batching: null, columns: options.columns ?? null }
}

export interface Stage {
  readonly control: ModelControl
  readonly models: Models
  readonly registry: Registry
  readonly log: ReturnType<typeof memoryLog>
  close(): Promise<void>
}

/** What the control thread does with the models of one configuration, without data threads. */
export interface ModelControl {
  readonly description: ModelsDescription
  readonly issues: readonly ModelIssue[]
  readonly restarts: number
  connect(): MessagePort
  close(): Promise<void>
}

export async function createModelControl(config: Config, deps: LibraryDeps): Promise<ModelControl> {
  const library = createLibrary(config, deps)
  const set = new ModelSet(config, library, deps.log)
  await set.load(null)
  return {
    description: set.description,
    issues: set.issues,
    get restarts() {
      return library.restarts
    },
    connect: () => library.connect(),
    async close() {
      await set.close()
      await library.close()
    },
  }
}

export async function stage(config: Config, entry?: URL): Promise<Stage> {
  const log = memoryLog()
  const registry = new Registry()
  const control = await createModelControl(config, { log, clock: systemClock, ...(entry !== undefined && { entry }) })
  const port = control.connect()
  const client = new InferenceClient(port, { clock: systemClock, queue: QUEUE })
  const models = await createModels(control.description, { registry, log, clock: systemClock, gather, operator: fakeOperator(), residents: residentsOf(client, systemClock) })
  if (control.description.models.some(({ placement }) => placement === 'thread')) await client.connected()
  return {
    control, models, registry, log,
    async close() {
      await models.close()
      client.close()
      await control.close()
    },
  }
}

/** The built-in endpoints over these models. */
export function builtins(models: Models, more: Partial<ModelsConfig> = {}): readonly BuiltinRoute[] {
  return builtinRoutes({ models, config: repositoryConfig('', more), version: '1.2.3' })
}

/** A control thread that is not there; a test replaces what it is about. */
export function fakeOperator(changes: Partial<Operator> = {}): Operator {
  return { index: async () => [], load: async () => null, unload: async () => null, counts: async () => [], ...changes }
}

function gather(): Buffer {
  throw new Error('these tests send whole bodies')
}

const nowhere: Backend = { name: 'nowhere', kind: 'answer', send: (() => new Answer(500, [], null)) as Send }

export function exchange(body: string | Buffer | null, format: Format | null = null, options: { method?: string; target?: string; headers?: string[] } = {}): Exchange {
  return new Exchange({
    method: options.method ?? 'POST', target: options.target ?? '/', headers: options.headers ?? [], body: typeof body === 'string' ? Buffer.from(body) : body,
    caller: { address: '127.0.0.1', port: 1, tls: false, inform: () => undefined },
    route: { name: 'test', format, maxBodyBytes: 1 << 26 },
    minor: 1, upgrade: '', requestId: 'request-1', inferenceId: '', started: 0, leg: new Leg(nowhere), slots: 0,
  })
}

export async function ask(backend: Backend, body: string | Buffer, format: Format | null = null): Promise<Answer> {
  const x = exchange(body, format)
  return backend.send(x, x.leg)
}

export function textOf(answer: Answer): string {
  return (answer.body as Buffer).toString()
}

/** What an answer may hold, so far as the tests look: OIP, metadata, errors, or rows in `rowsOf`. */
interface Body {
  readonly id: string
  readonly model_name: string
  readonly model_version: string
  readonly models: string[]
  readonly outputs: { name: string; datatype: string; shape: number[]; data: number[] }[]
  readonly error: string
  readonly code: string
  readonly request_id: string
}

export function json(answer: Answer): Body {
  return JSON.parse(textOf(answer)) as Body
}

export function rowsOf<Row>(answer: Answer): Row[] {
  return JSON.parse(textOf(answer)) as Row[]
}

export function temporary(): { path: string; remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), 'weir-models-'))
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) }
}

export interface Golden {
  readonly name: string
  readonly request: { readonly inputs: readonly { name: string; shape: number[]; datatype: string; data: unknown[] }[]; readonly outputs?: readonly { name: string }[]; readonly id?: string }
  readonly response_outputs: readonly { name: string; shape: number[]; datatype: string; data: unknown[] }[]
  readonly rtol: number
  readonly atol: number
  /** As it stands in the file: numbers keep their spelling. */
  readonly text: string
  /** Data of the expected outputs as they stand in the file. */
  readonly spelled: readonly string[]
}

/** The cases of a golden file; the file has one a line. */
export function golden(folder: string): Golden[] {
  const lines = readFileSync(join(folder, 'golden.json'), 'utf8').split('\n').filter((line) => line.startsWith('{'))
  return lines.map((line) => {
    const text = line.replace(/,$/, '')
    const start = text.indexOf('"request":') + '"request":'.length
    const end = text.indexOf(',"response_outputs":')
    const spelled = [...text.slice(end).matchAll(/"data":\[([^\]]*)\]/g)].map((match) => match[1]!)
    return { ...(JSON.parse(text) as Golden), text: text.slice(start, end), spelled }
  })
}
