/**
 * The inference thread: measures every model at load and runs the slow ones, one after the other in the order of their
 * arrival. Between two runs it reads its ports, so a request whose caller left is dropped before it costs anything.
 */
import { type MessagePort, parentPort } from 'node:worker_threads'
import { systemClock } from '../clock.ts'
import type { Ask, FromInference, Report, Told, ToInference } from '../models/messages.ts'
import { type Measured, measure, place } from '../models/placement.ts'
import { openSession, type Session } from '../models/session.ts'

type Job = Extract<Ask, { type: 'run' }> & { readonly port: MessagePort }

const sessions = new Map<number, Session>()
/** Bounded by the data threads: each has a limited number of requests under way. */
const queue: Job[] = []
let running = false

const control = parentPort!
control.on('message', (message: ToInference) => {
  if (message.type === 'connect') connect(message.port)
  else if (message.type === 'unload') void unload(message.id).then(() => control.postMessage({ type: 'unloaded', id: message.id } satisfies Report))
  else void load(message).then((outcome) => control.postMessage({ type: 'loaded', outcome } satisfies Report))
})

async function unload(id: number): Promise<void> {
  const session = sessions.get(id)
  sessions.delete(id)
  await session?.close()
}

async function load({ id, file, placement: wanted }: Extract<ToInference, { type: 'load' }>): Promise<FromInference> {
  const began = systemClock.now()
  try {
    const session = await openSession(file, systemClock)
    const load_ms = systemClock.now() - began
    const measured: Measured = { run_us: wanted === 'auto' ? await measure(session, systemClock) : null, independent_rows: false }
    const placement = place(wanted, measured.run_us)
    if (placement === 'thread') sessions.set(id, session)
    else await session.close()
    return { id, signature: session.signature, placement, why: '', measured, load_ms }
  } catch (error) {
    return { id, error: text(error), load_ms: systemClock.now() - began }
  }
}

function connect(port: MessagePort): void {
  port.on('message', (ask: Ask) => {
    if (ask.type === 'drop') return drop((job) => job.port === port && job.seq === ask.seq)
    queue.push({ ...ask, port })
    if (!running) void work()
  })
  port.on('close', () => drop((job) => job.port === port))
}

function drop(gone: (job: Job) => boolean): void {
  for (let i = queue.length - 1; i >= 0; i--) if (gone(queue[i]!)) queue.splice(i, 1)
}

async function work(): Promise<void> {
  running = true
  for (let job = queue.shift(); job !== undefined; job = queue.shift()) job.port.postMessage(await run(job))
  running = false
}

async function run({ seq, id, inputs, outputs }: Job): Promise<Told> {
  try {
    const session = sessions.get(id)
    if (session === undefined) return { seq, missing: true }
    const run = await session.run(inputs, outputs)
    return { seq, run: { ...run, queued_ms: 0, runs: 1, batch_rows: inputs[0]?.shape[0] ?? 0 } }
  } catch (error) {
    return { seq, error: text(error) }
  }
}

function text(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
