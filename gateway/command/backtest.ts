/** `weir backtest`: which alarms the rows of a file would have raised, on the time of the file. */
import type { BuildIssue, Config, Issue, RouteConfig } from '../../config/config.ts'
import { formatIssues } from '../../config/issues.ts'
import { type Loaded, loadConfig } from '../../config/load.ts'
import type { Log } from '../plugin.ts'
import { DataError } from '../profile/read/table.ts'
import { UsageError } from './arguments.ts'
import { backtest as runBacktest, type Outcome } from './backtest/backtest.ts'
import { openEvents } from './backtest/read.ts'
import { notes, reportJson, reportText } from './backtest/report.ts'
import { LABELS } from './backtest/stage.ts'
import type { BacktestOrder } from './orders.ts'
import { progressBar } from './progress.ts'
import { routeOf } from './route_of.ts'
import type { Terminal } from './run.ts'
import { parts } from './source.ts'

/** Messages of plugins that are told. */
const MAX_TOLD = 20
/** Of one field of them, characters. */
const MAX_FIELD = 200

/** @returns exit code: 0 it ran, whatever it found; 2 the file, the configuration or the command line cannot be used */
export async function backtest(order: BacktestOrder, terminal: Terminal): Promise<number> {
  const loaded = await loadConfig({ file: order.config, env: terminal.env }, parts)
  const { config } = loaded
  if (config === null) return refuse(loaded.issues, terminal)
  const route = monitored(config, order.route)
  try {
    return await run(order, config, route, loaded, terminal)
  } catch (error) {
    if (!(error instanceof DataError)) throw error
    terminal.error(`weir: ${error.message}\n`)
    return 2
  }
}

async function run(order: BacktestOrder, config: Config, route: RouteConfig, { locate }: Loaded, terminal: Terminal): Promise<number> {
  const events = await openEvents(order.file, route.name, order, order)
  const heard = new Heard()
  const done = { ...events.progress, read: 0, rows: 0 }
  const bar = progressBar(done, terminal)
  let stopped = false

  /** Rows are read ahead of the clock, to be put in order. */
  function tick(): void {
    done.rows++
    done.read = (events.progress.read * done.rows) / Math.max(done.rows, events.progress.rows)
    bar.tick()
  }
  terminal.on('SIGINT', () => (stopped = true))
  const outcome = await runBacktest(events.read(), { config, route, log: heard.log, tick, stopped: () => stopped }).finally(bar.end)
  if (!('alarms' in outcome)) return refuse((outcome as readonly BuildIssue[]).map(locate), terminal)
  for (const note of [...events.notes, ...heard.messages, ...notes(outcome, order.predictions.length > 0), ...unheard(order, route, outcome)]) terminal.error(`weir: ${note}\n`)
  terminal.out(order.json ? reportJson(outcome) : reportText(outcome, order.file, route.name))
  return 0
}

function refuse(issues: readonly Issue[], terminal: Terminal): number {
  terminal.error(formatIssues([...issues]))
  return 2
}

function unheard({ label, file }: BacktestOrder, { plugins, name }: RouteConfig, { rows }: Outcome): string[] {
  return [
    ...(label !== null && !plugins.some((plugin) => plugin.name === LABELS) ? [`the labels in "${label}" went nowhere: route "${name}" has no plugin labels`] : []),
    ...(rows === 0 ? [`nothing was run: ${file} holds no row for route "${name}" between --from and --to`] : []),
  ]
}

/** @throws UsageError */
function monitored(config: Config, name: string): RouteConfig {
  const found = routeOf(config, name)
  const monitors = [...parts.plugins.values()].filter(({ alarms = [] }) => alarms.length > 0).map(({ name }) => name)
  // Of a plugin of the user's own nobody knows.
  if (found.plugins.some(({ name, use }) => monitors.includes(name) || use !== null)) return found
  throw new UsageError(`route "${found.name}" has no plugin that raises alarms`, `Give it one of ${monitors.join(', ')}.`)
}

/** What plugins say while it runs: the first of each, as notes. */
class Heard {
  readonly #counts = new Map<string, number>()

  get log(): Log {
    const hear = (message: string, fields: Readonly<Record<string, unknown>> = {}): void => {
      const { plugin, route: _route, ...more } = fields
      const told = Object.entries(more).map(([key, value]) => ` ${key}=${(typeof value === 'string' ? value.split('\n', 1)[0]! : JSON.stringify(value)).slice(0, MAX_FIELD)}`)
      const text = `${typeof plugin === 'string' ? `${plugin}: ` : ''}${message}${told.join('')}`
      if (this.#counts.has(text) || this.#counts.size < MAX_TOLD) this.#counts.set(text, (this.#counts.get(text) ?? 0) + 1)
    }
    return { debug: () => undefined, info: () => undefined, warn: hear, error: hear }
  }

  get messages(): string[] {
    return [...this.#counts].map(([text, count]) => (count === 1 ? text : `${text} (${count} times)`))
  }
}
