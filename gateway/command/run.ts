/** `weir run`: the process around the control thread. Threads load their code while the configuration is read. */
import { readFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import type { Config } from '../../config/config.ts'
import type { Loaded } from '../../config/load.ts'
import { type Clock, systemClock } from '../clock.ts'
import { Registry } from '../metrics.ts'
import type { Log } from '../plugin.ts'
import { Control } from '../threads/control.ts'
import { startLogs } from '../threads/logs.ts'
import type { Source } from './orders.ts'
import type { Environment } from './source.ts'

/** What the command needs of the process it runs in. */
export interface Terminal {
  readonly env: Environment
  readonly version: string
  out(text: string): void
  error(text: string): void
  /** Whether somebody watches what `error` gets. */
  readonly interactive?: boolean
  /** Calls `handle` for every such signal. */
  on(signal: 'SIGTERM' | 'SIGINT' | 'SIGHUP', handle: () => void): void
}

/** Bounds the garbage that a data thread lets lie between two collections. */
const YOUNG_GENERATION_MB = 8
/** The same file as source and as built. */
const ENTRY = new URL(`../threads/data${extname(import.meta.url)}`, import.meta.url)
const RECORDS_ENTRY = new URL(`../threads/records${extname(import.meta.url)}`, import.meta.url)

/** @returns the exit code, once the gateway has stopped */
export async function run(source: Source, terminal: Terminal): Promise<number> {
  const clock = systemClock
  const registry = new Registry()
  const logs = startLogs(clock, registry)
  const code = import('./source.ts')
  const formatting = import('../../config/issues.ts')
  const control = new Control({
    clock,
    log: logs.log,
    registry,
    spawn: (index) => new Worker(ENTRY, { name: `weir data ${index}`, workerData: { version: terminal.version, thread: index }, resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MB } }),
    spawnRecords: (data) => new Worker(RECORDS_ENTRY, { name: 'weir records', workerData: data }),
    read: async () => (await code).read(source, terminal.env),
    format: (issues) => formatIssues(issues),
  })
  const stopping = new Stopping(control, logs.log)
  terminal.on('SIGTERM', () => stopping.begin())
  terminal.on('SIGINT', () => stopping.begin())
  terminal.on('SIGHUP', () => void control.reload())
  control.warm(source.threads === null || source.threads === 'auto' ? availableParallelism() : Number(source.threads) || 1)
  const { read } = await code
  const { formatIssues } = await formatting

  async function serve(reading: Loaded, config: Config): Promise<number> {
    const [outcome, opened] = await Promise.all([control.start(reading), openAdmins(config, control, stopping, clock, logs.log)])
    if (outcome.issues.length > 0) terminal.error(formatIssues(outcome.issues))
    if (!outcome.ok) return 2
    terminal.out(await greeting(terminal.version, { ...config, ...opened.addresses, listen: control.listening }, control.status.threads.wanted, source))
    const watch = source.file === null ? null : (await import('../../config/watch.ts')).watchConfig(source.file, clock, () => void control.reload(true))
    await stopping.ended
    watch?.close()
    await opened.close()
    return 0
  }

  try {
    const reading = await read(source, terminal.env)
    if (reading.config !== null) return await serve(reading, reading.config)
    terminal.error(formatIssues(reading.issues))
    return 2
  } catch (error) {
    if (stopping.began) return 0
    terminal.error(`${explainFailure(error)}\n`)
    return 1
  } finally {
    await control.stop()
    await logs.close()
  }
}

/** SIGTERM, SIGINT and POST /drain: the first stops gracefully, the second at once. */
class Stopping {
  readonly #control: Control
  readonly #log: Log
  readonly #done = Promise.withResolvers<void>()
  began = false

  constructor(control: Control, log: Log) {
    this.#control = control
    this.#log = log
  }

  get ended(): Promise<void> {
    return this.#done.promise
  }

  begin(): void {
    const first = !this.began
    this.began = true
    if (first) this.#log.info('stopping: unready, no new connections soon; again to stop at once')
    void this.#control.stop().then(({ in_flight, cut }) => {
      if (first) this.#log.info('stopped', { in_flight_at_first: in_flight, cut })
      this.#done.resolve()
    })
  }
}

interface OpenAdmins {
  readonly addresses: Pick<Config, 'admin' | 'metrics'>
  close(): Promise<void>
}

/** The admin listener and the read-only one; the code for them is loaded only when there is one. */
async function openAdmins(config: Config, control: Control, stopping: Stopping, clock: Clock, log: Log): Promise<OpenAdmins> {
  const { admin, metrics } = config
  if (admin === null && metrics === null) return { addresses: { admin, metrics }, close: async () => undefined }
  const [{ startAdmin }, { adminControl }] = await Promise.all([import('../admin/server.ts'), import('./admin.ts')])
  const asked = adminControl(control, () => {
    if (!stopping.began) stopping.begin()
  })
  const full = admin === null ? null : await startAdmin(admin, asked, { clock, log })
  const reading = metrics === null ? null : await startAdmin({ address: metrics, token: null, tls: null, readOnly: true }, asked, { clock, log })
  return {
    addresses: { admin: admin === null ? null : { ...admin, address: full!.address }, metrics: reading === null ? null : reading.address },
    async close() {
      await Promise.all([full?.close(), reading?.close()])
    },
  }
}

/** The requests to try are the file's own; they do not fit when a flag moved the listener. */
async function greeting(version: string, config: Config, threads: number, source: Source): Promise<string> {
  const { banner, triesIn } = await import('./banner.ts')
  const fits = source.file !== null && source.listen === null && source.admin === null
  return banner(version, config, threads, fits ? triesIn(await readFile(source.file!, 'utf8').catch(() => '')) : [])
}

function explainFailure(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error)
  const [, code, , where] = /\b(E[A-Z]+): ([a-z ]*[a-z])(?: (\S+))?$/.exec(text) ?? []
  const port = /:(\d+)$/.exec(where ?? '')?.[1]
  const address = where ?? 'the address'
  if (code === 'EADDRINUSE') return `weir: ${address} is in use by another process.\n  ${port === undefined ? '' : `\`ss -ltnp 'sport = :${port}'\` names it. `}Stop that, or choose another address in the file or with --listen and --admin.`
  if (code === 'EACCES') return `weir: ${address} may not be opened by this user.\n  Ports below 1024 belong to root on most systems; choose a higher one.`
  if (code === 'EADDRNOTAVAIL') return `weir: this machine does not have the address ${address}.`
  return `weir: it could not start: ${text}`
}
