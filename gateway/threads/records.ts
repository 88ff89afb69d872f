/** The records thread: brings what the data threads left in the spools to the sinks. Started only when a configuration has sinks. */
import { parentPort, workerData } from 'node:worker_threads'
import { systemClock } from '../clock.ts'
import { Registry } from '../metrics.ts'
import { Keeper } from '../records/keeper.ts'
import { createSink } from '../records/sinks/make.ts'
import { startLogs } from './logs.ts'
import { Link, type RecordsData, type RecordsKeeperOrders, type RecordsOrders } from './messages.ts'

const ASK_MS = 5_000

const { spool, boot } = workerData as RecordsData
const clock = systemClock
const registry = new Registry()
const logs = startLogs(clock, registry)
const keeper = new Keeper(spool, boot, { clock, log: logs.log, create: createSink })

const orders: RecordsOrders = {
  configure: async (sinks) => keeper.configure(new Map(sinks.map((one) => [one.config.name, one]))),
  report: async () => keeper.report(),
  async finish(deadline_ms) {
    await keeper.finish(deadline_ms)
    await logs.close()
  },
}

const control = new Link<RecordsOrders, RecordsKeeperOrders>(parentPort!, clock, orders)
void control.ask('registry', [registry.view()], ASK_MS).catch(() => undefined)
