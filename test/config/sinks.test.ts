import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { loadConfig } from '../../config/load.ts'
import { parts } from './parts.ts'

const good = join(import.meta.dirname, 'good')
const text = (text: string) => loadConfig({ file: 'weir.yaml', text, env: {} }, parts)
/** Minutes, KiB, MiB, GiB. */
const [M, K, MI, GI] = [60_000, 1024, 1024 ** 2, 1024 ** 3]

describe('sinks', () => {
  test('are absent by default', async () => expect((await text('{}')).config!.sinks).toEqual({}))

  test('defaults of each kind', async () => {
    const { config } = await text(`
state: ./state
sinks:
  lines: { jsonl: ./lines }
  lake: { parquet: ./lake }
  events: { cloudevents: "http://h" }
  bucket: { s3: "s3://bucket", access_key: a, secret_key: b }
  topic: { kafka: ["h:9092"], topic: t }
`)
    const spool = { max_bytes: GI, segment_bytes: 8 * MI, segment_ms: 1000, fsync: 'seal' }
    const delivery = { timeout_ms: 10_000, backoff_ms: 100, max_backoff_ms: 30_000, connections: 4 }
    expect(config!.sinks).toEqual({
      lines: { kind: 'jsonl', name: 'lines', spool, rotate_ms: 60 * M, path: join(process.cwd(), 'lines'), gzip: false, max_file_bytes: 256 * MI },
      lake: { kind: 'parquet', name: 'lake', spool, rotate_ms: M, path: join(process.cwd(), 'lake'), max_rows: 100_000, columns: true },
      events: { kind: 'cloudevents', name: 'events', spool, rotate_ms: 1000, url: 'http://h', headers: {}, source: 'http://localhost:9081/', extensions: {}, batch: 1, delivery },
      bucket: { kind: 's3', name: 'bucket', spool, rotate_ms: M, bucket: 'bucket', prefix: '', region: 'us-east-1', endpoint: '', access_key: 'a', secret_key: 'b', session_token: '', format: 'parquet', delivery },
      topic: { kind: 'kafka', name: 'topic', spool, rotate_ms: 1000, brokers: ['h:9092'], topic: 't', tls: false, sasl: null, delivery },
    })
    expect(() => structuredClone(config)).not.toThrow()
  })

  test('everything, decoded, and nothing secret shown', async () => {
    const { config } = await loadConfig({ file: join(good, 'sinks.yaml'), env: { TOKEN: 'sk-very-secret-value' } }, parts)
    const { lake, lines, events, bucket, topic } = config!.sinks
    expect(lake).toMatchObject({ path: join(good, 'lake'), rotate_ms: 5 * M, max_rows: 5000, columns: false, spool: { max_bytes: 2 * GI, segment_bytes: MI, segment_ms: 2000, fsync: 'never' } })
    expect(lines).toMatchObject({ gzip: true, max_file_bytes: MI })
    expect(events).toMatchObject({ url: 'https://broker.example/default?x=1', batch: 20, source: 'urn:weir', headers: { authorization: 'Bearer sk-very-secret-value' }, extensions: { namespace: 'fraud' }, delivery: { timeout_ms: 5000, backoff_ms: 1000, max_backoff_ms: M, connections: 2 } })
    expect(bucket).toMatchObject({ bucket: 'my-bucket', prefix: 'a/b', endpoint: 'http://127.0.0.1:9000', secret_key: 'sk-very-secret-value', format: 'jsonl' })
    expect(topic).toMatchObject({ brokers: ['127.0.0.1:9092', '[::1]:9093'], tls: true, sasl: { mechanism: 'PLAIN', username: 'u', password: 'sk-very-secret-value' } })
  })

  test('keys written into the file are hidden from `explain` and `/config`', async () => {
    const { config } = await text('state: ./s\nsinks: { b: { s3: "s3://bucket", access_key: AKIDLITERAL, secret_key: SKLITERAL, session_token: STLITERAL } }')
    expect(config!.sinks['b']).toMatchObject({ access_key: 'AKIDLITERAL' })
    expect(JSON.stringify(config!.effective)).not.toMatch(/LITERAL/)
  })

  test('a segment is small against the whole: its smallest size is 4 KiB', async () => {
    const { config } = await text(`state: ./s\nsinks: { a: { jsonl: ./a, spool: { segment: ${4 * K}, max_bytes: 8KiB } } }`)
    expect(config!.sinks['a']!.spool).toMatchObject({ segment_bytes: 4096, max_bytes: 8192 })
  })
})
