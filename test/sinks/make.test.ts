import { afterEach, beforeEach, expect, test } from 'vitest'
import type { SinkConfig } from '../../config/config.ts'
import { createSink } from '../../gateway/records/sinks/make.ts'
import { deps, type Scratch, scratch, spool } from './setup.ts'

let folder: Scratch
beforeEach(() => void (folder = scratch()))
afterEach(() => folder.remove())

const common = { name: 's', spool, rotate_ms: 5000 }
const delivery = { timeout_ms: 1, backoff_ms: 1, max_backoff_ms: 1, connections: 1 }

test.each<[string, () => SinkConfig, object]>([
  ['jsonl', () => ({ kind: 'jsonl', ...common, path: folder.path, gzip: false, max_file_bytes: 1 }), { wait_ms: 0 }],
  ['parquet', () => ({ kind: 'parquet', ...common, path: folder.path, max_rows: 1234, columns: true }), { rows: 1234, wait_ms: 5000 }],
  ['cloudevents', () => ({ kind: 'cloudevents', ...common, url: 'http://h', headers: {}, source: 's', extensions: {}, batch: 1, delivery }), { wait_ms: 0 }],
  ['cloudevents', () => ({ kind: 'cloudevents', ...common, url: 'http://h', headers: {}, source: 's', extensions: {}, batch: 2, delivery }), { wait_ms: 5000 }],
  ['s3', () => ({ kind: 's3', ...common, bucket: 'b-1', prefix: '', region: 'us-east-1', endpoint: '', access_key: 'a', secret_key: 's', session_token: '', format: 'parquet', delivery }), { wait_ms: 5000 }],
  ['kafka', () => ({ kind: 'kafka', ...common, brokers: ['h:1'], topic: 't', tls: false, sasl: null, delivery }), { wait_ms: 5000 }],
])('%s is made of its configuration, and says how much it takes', async (_kind, config, batch) => {
  const sink = await createSink(config(), deps())
  expect(sink.batch).toMatchObject(batch)
  await sink.close()
})
