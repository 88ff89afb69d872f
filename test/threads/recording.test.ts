/** What is told of records while the records thread is silent. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import type { Config, JsonlSinkConfig } from '../../config/config.ts'
import { Registry, totals } from '../../gateway/metrics.ts'
import type { Log } from '../../gateway/plugin.ts'
import type { Spawned } from '../../gateway/threads/crew.ts'
import { Recording } from '../../gateway/threads/recording.ts'
import { FakeClock, settled } from '../fake_clock.ts'

const quiet: Log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }

/** A records thread that answers some orders, and is deaf to the others. */
function thread(answers: Readonly<Record<string, unknown>>): Spawned {
  let listener: (message: unknown) => void = () => undefined
  return {
    on: (event, on) => void (event === 'message' && (listener = on)),
    postMessage(message) {
      const { ask, id } = message as { ask: string; id: number }
      if (ask in answers) queueMicrotask(() => listener({ reply: id, value: answers[ask] }))
    },
    terminate: async () => undefined,
  }
}

function started(answers: Readonly<Record<string, unknown>>): { readonly recording: Recording; readonly clock: FakeClock; readonly registry: Registry } {
  const state = mkdtempSync(join(tmpdir(), 'weir-recording-'))
  onTestFinished(() => rmSync(state, { recursive: true, force: true }))
  const lake: JsonlSinkConfig = { kind: 'jsonl', name: 'lake', path: join(state, 'lake'), gzip: false, max_file_bytes: 1 << 20, rotate_ms: 1000, spool: { max_bytes: 4096, segment_bytes: 1024, segment_ms: 1000, fsync: 'never' } }
  const config = { sinks: { lake }, state, threads: 1 } as unknown as Config
  const [clock, registry] = [new FakeClock(), new Registry()]
  const recording = new Recording({ clock, log: quiet, registry, spawn: () => thread(answers) })
  expect(recording.grant(config)).toHaveProperty('cells')
  recording.runs(config)
  onTestFinished(async () => recording.finish(0))
  return { recording, clock, registry }
}

const nothing = { sink: 'lake', kind: 'jsonl', accepted: 0, delivered: 0, pending: { records: 0, bytes: 0 }, max_bytes: 4096 }

test('a records thread that answers is told of', async () => {
  const delivery = { state: 'delivering', segments: 2, oldest_ms: 5, failures: 0, last_error: null, last_delivery: null }
  const { recording } = started({ configure: undefined, finish: undefined, report: [{ sink: 'lake', kind: 'jsonl', ...delivery }] })
  expect(await recording.report()).toMatchObject({ sinks: [{ ...nothing, delivery }], error: null })
})

test('one that is silent costs nobody the counts: they come before the admin listener gives up, after two seconds', async () => {
  const { recording, clock } = started({ configure: undefined, finish: undefined })
  const asked = recording.report()
  await settled()
  clock.advance(1_999)
  expect(await asked).toMatchObject({ sinks: [{ ...nothing, delivery: null }], error: 'no answer to "report" within 1500 ms' })
})

test('the spool and its limit are gauges', () => {
  const { recording, clock, registry } = started({ configure: undefined, finish: undefined })
  clock.advance(60_000)
  recording.views()
  const value = (name: string): unknown => totals([registry.view()], name).map((row) => [row.labels['sink'], row.value])
  expect([value('weir_records_spool_bytes'), value('weir_records_spool_limit_bytes')]).toEqual([[['lake', 0]], [['lake', 4096]]])
})
