/** Records as weir's own sinks write them, as a table of what went in and what came out. */
import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { openLake } from '../../gateway/profile/read/lake.ts'
import { type Row, rowsOf } from '../../gateway/profile/read/table.ts'
import type { LogRecord } from '../../gateway/records/record.ts'
import { JsonlSink } from '../../gateway/records/sinks/jsonl.ts'
import { ParquetSink } from '../../gateway/records/sinks/parquet.ts'
import { body, record } from '../records/made.ts'
import { deps, spool } from '../sinks/setup.ts'
import { file, folder } from './setup.ts'

const TIME = Date.UTC(2026, 1, 2, 8)
const AT = '2026-02-02T08:00:00.000Z'
const json = (value: unknown) => body(JSON.stringify(value))
const rows = (id: number, request: unknown, response: unknown, change: Partial<LogRecord> = {}) => record(id, { time: TIME, format: 'rows', request: json(request), response: json(response), ...change })

const sinks = {
  jsonl: (path: string) => new JsonlSink({ kind: 'jsonl', name: 'lines', path, gzip: false, rotate_ms: 60_000, max_file_bytes: 1 << 20, spool }, deps()),
  parquet: (path: string) => new ParquetSink({ kind: 'parquet', name: 'lake', path, rotate_ms: 60_000, max_rows: 1_000, columns: true, spool }, deps()),
}

async function read(kind: keyof typeof sinks, records: readonly LogRecord[]): Promise<{ rows: Row[]; predictions: string[]; notes: readonly string[] }> {
  const path = folder()
  const sink = sinks[kind](path)
  await sink.open(null)
  expect(await sink.deliver(records)).toMatchObject({ delivered: records.length })
  const lake = (await openLake([path]))!
  const found: Row[] = []
  for await (const batch of lake.batches()) for (const row of rowsOf(batch)) found.push({ ...row })
  return { rows: found, predictions: [...lake.predictions], notes: lake.notes }
}

describe.each(['jsonl', 'parquet'] as const)('%s', (kind) => {
  test('a request of one row and its answer', async () => {
    const { rows: found, predictions } = await read(kind, [rows(1, { age: 30, plan: 'basic', vip: true }, { score: 0.25 })])
    expect(found).toEqual([{ time: AT, age: 30, plan: 'basic', vip: true, score: 0.25 }])
    expect(predictions).toEqual(['score'])
  })

  test('several rows are several rows, matrices are lists', async () => {
    const request = { inputs: [{ name: 'x', datatype: 'FP32', shape: [2, 3], data: [1, 2, 3, 4, 5, 6] }] }
    const response = { model_name: 'm', outputs: [{ name: 'label', datatype: 'INT64', shape: [2], data: [0, 1] }] }
    const { rows: found } = await read(kind, [record(1, { time: TIME, format: 'oip', request: json(request), response: json(response) })])
    expect(found).toEqual([{ time: AT, x: [1, 2, 3], label: 0 }, { time: AT, x: [4, 5, 6], label: 1 }])
  })

  test('tensors behind their JSON, whose length no record tells', async () => {
    const head = JSON.stringify({ inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 2], parameters: { binary_data_size: 8 } }] })
    const request = { ...body(Buffer.concat([Buffer.from(head), Buffer.from(Float32Array.of(1.5, -2).buffer)])), type: 'application/octet-stream' }
    const { rows: found } = await read(kind, [record(1, { time: TIME, format: 'oip', request, response: json({ model_name: 'm', outputs: [{ name: 'score', datatype: 'FP32', shape: [1], data: [0.5] }] }) })])
    expect(found).toEqual([{ time: AT, x: [1.5, -2], score: 0.5 }])
  })

  test('what the backend got counts, where it is another', async () => {
    expect((await read(kind, [rows(1, { age: 30 }, { score: 1 }, { sent: json({ age: 30, orders: 4 }) })])).rows).toEqual([{ time: AT, age: 30, orders: 4, score: 1 }])
  })

  test('an output called as an input, an error as answer', async () => {
    const { rows: found } = await read(kind, [rows(1, { age: 30 }, { age: 31 }), rows(2, { age: 40 }, { error: 'no' }, { status: 503 })])
    expect(found).toEqual([{ time: AT, age: 30, 'output.age': 31 }, { time: AT, age: 40 }])
  })

  test('packed bodies; what cannot be read is left out and told', async () => {
    const packed = { ...body(gzipSync('{"age":50}')), encoding: 'gzip', type: 'application/json' }
    const { rows: found, notes } = await read(kind, [rows(1, {}, { score: 1 }, { request: packed }), rows(2, 'no rows', { score: 1 }), rows(3, { age: 1 }, {}, { request: { ...json({ age: 1 }), truncated: true } })])
    expect(found).toEqual([{ time: AT, age: 50, score: 1 }])
    expect(notes).toEqual(["2 records were left out: their requests were not logged whole, or are not of the route's format"])
  })
})

test('other tables are no records', async () => {
  expect(await openLake([file('a.csv', 'record_id,status\n1,200\n')])).toBeNull()
})
