/** `weir replay`: requests of a log, or rows of a file, once more; and whether the answers are the same. */
import type { Config } from '../../config/config.ts'
import { formatIssues } from '../../config/issues.ts'
import { loadConfig } from '../../config/load.ts'
import { Calls } from '../calls.ts'
import { systemClock } from '../clock.ts'
import { DataError } from '../profile/read/table.ts'
import { UsageError } from './arguments.ts'
import type { ReplayOrder } from './orders.ts'
import { progressBar } from './progress.ts'
import { openRequests, type Targets } from './replay/read.ts'
import { reportText, Tally } from './replay/report.ts'
import { sendAll } from './replay/send.ts'
import { whereOf } from './replay/where.ts'
import { routeOf } from './route_of.ts'
import type { Terminal } from './run.ts'
import { parts, shownAddress } from './source.ts'

/** From a request to the end of its answer, milliseconds. */
const TIMEOUT_MS = 60_000

/** @returns exit code: 0 every answer is the same, 1 some are not, 2 the file or the command line cannot be used */
export async function replay(order: ReplayOrder, terminal: Terminal): Promise<number> {
  try {
    const goal = await goalOf(order, terminal)
    return goal === null ? 2 : await run(order, goal, terminal)
  } catch (error) {
    if (!(error instanceof DataError)) throw error
    terminal.error(`weir: ${error.message}\n`)
    return 2
  }
}

interface Goal extends Targets {
  readonly origin: string
}

async function run(order: ReplayOrder, goal: Goal, terminal: Terminal): Promise<number> {
  const clock = systemClock
  const where = order.where === null ? () => true : condition(order.where)
  const requests = openRequests(order.file, order.route, goal)
  const calls = new Calls(goal.origin, { connections: order.connections, timeout_ms: TIMEOUT_MS }, clock)
  const tally = new Tally()
  const bar = progressBar(requests.progress, terminal)
  let stopped = false
  terminal.on('SIGINT', () => (stopped = true))
  try {
    const deps = { clock, send: calls.send.bind(calls), wanted: where, tick: bar.tick, stopped: () => stopped }
    await sendAll(requests.read(), order, order, tally, deps)
  } finally {
    bar.end()
    await calls.close()
  }
  for (const note of requests.notes) terminal.error(`weir: ${note}\n`)
  const report = tally.report()
  if (report.sent === 0) terminal.error(`weir: nothing was sent: ${order.file} holds no request of route "${order.route}"${order.where === null ? '' : ' for which --where holds'}\n`)
  terminal.out(order.json ? `${JSON.stringify(report)}\n` : reportText(report))
  return report.different > 0 ? 1 : 0
}

function condition(text: string): ReturnType<typeof whereOf> {
  try {
    return whereOf(text)
  } catch (error) {
    throw new UsageError(`--where: ${(error as Error).message}`, `Write it as \`when\` in the configuration, such as --where 'status == 200 && method == "POST"'.`)
  }
}

/** @returns null when the configuration is wrong, which was told then */
async function goalOf(order: ReplayOrder, terminal: Terminal): Promise<Goal | null> {
  const config = order.config === null ? null : await read(order.config, terminal)
  if (order.config !== null && config === null) return null
  const route = config === null ? null : routeOf(config, order.route)
  const to = order.to ?? listenOf(config!)
  const url = URL.canParse(to) ? new URL(to) : null
  if (url === null || !/^https?:$/.test(url.protocol)) throw new UsageError(`--to expects an http or https url, found "${to}"`, 'Try --to http://127.0.0.1:8080.')
  const path = url.pathname === '/' && url.search === '' ? null : url.pathname + url.search
  const own = route === null || /[*{]/.test(route.match.path) ? null : route.match.path
  return { origin: url.origin, prefix: url.pathname.replace(/\/+$/, ''), target: path ?? own }
}

async function read(file: string, terminal: Terminal): Promise<Config | null> {
  const { config, issues } = await loadConfig({ file, env: terminal.env }, parts)
  if (config === null) terminal.error(formatIssues(issues))
  return config
}

function listenOf(config: Config): string {
  const [first] = config.listen
  if (first === undefined || 'unix' in first.address) throw new UsageError('the configuration listens on no TCP address', 'Say where requests go with --to URL.')
  return shownAddress(first.address, first.tls !== null)
}
