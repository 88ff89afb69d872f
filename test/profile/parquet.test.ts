/** Parquet as hyparquet-writer and pyarrow write it, and folders of files. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { type ParquetWriteOptions, parquetWriteBuffer } from 'hyparquet-writer'
import { describe, expect, test } from 'vitest'
import { openTable } from '../../gateway/profile/read/open.ts'
import { file, folder, read } from './setup.ts'

const written = (options: Omit<ParquetWriteOptions, 'writer'>) => file('a.parquet', parquetWriteBuffer(options))

describe('types', () => {
  test('plain ones, with nulls', async () => {
    const path = written({
      columnData: [
        { name: 'i32', data: [1, null, -3], type: 'INT32', nullable: true },
        { name: 'i64', data: [1n, 9007199254740993n, null], type: 'INT64', nullable: true },
        { name: 'f64', data: [0.5, NaN, null], type: 'DOUBLE', nullable: true },
        { name: 'text', data: ['é', '', null], type: 'STRING', nullable: true },
        { name: 'truth', data: [true, false, null], type: 'BOOLEAN', nullable: true },
        { name: 'at', data: [new Date('2026-02-02T00:00:00.123Z'), null, new Date(0)], type: 'TIMESTAMP', nullable: true },
      ],
    })
    expect((await read(path)).rows).toEqual([
      { i32: 1, i64: 1, f64: 0.5, text: 'é', truth: true, at: '2026-02-02T00:00:00.123Z' },
      { i32: null, i64: 9007199254740993n, f64: NaN, text: '', truth: false, at: null },
      { i32: -3, i64: null, f64: null, text: null, truth: null, at: '1970-01-01T00:00:00.000Z' },
    ])
  })

  test('bytes are texts where they are UTF-8, else base64', async () => {
    const path = written({ columnData: [{ name: 'b', data: [Uint8Array.of(0x68, 0x69), Uint8Array.of(0xff, 0x00)], type: 'BYTE_ARRAY' }] })
    expect((await read(path)).rows).toEqual([{ b: 'hi' }, { b: '/wA=' }])
  })

  test('lists stay lists, structs become columns with dots', async () => {
    const path = written({
      columnData: [
        { name: 'list', data: [[1, 2], []] },
        { name: 's', data: [{ x: 1, y: 'a' }, { x: 2, y: 'b' }] },
      ],
      schema: [
        { name: 'root', num_children: 2 },
        { name: 'list', repetition_type: 'OPTIONAL', num_children: 1, converted_type: 'LIST' },
        { name: 'list', repetition_type: 'REPEATED', num_children: 1 },
        { name: 'element', repetition_type: 'OPTIONAL', type: 'INT32' },
        { name: 's', repetition_type: 'REQUIRED', num_children: 2 },
        { name: 'x', repetition_type: 'REQUIRED', type: 'INT32' },
        { name: 'y', repetition_type: 'REQUIRED', type: 'BYTE_ARRAY', converted_type: 'UTF8' },
      ],
    })
    expect((await read(path)).rows).toEqual([{ list: [1, 2], 's.x': 1, 's.y': 'a' }, { list: [], 's.x': 2, 's.y': 'b' }])
  })
})

describe('layout', () => {
  const rows = Array.from({ length: 20_000 }, (_, i) => i)

  test('row groups one after the other; how many rows there are is known before', async () => {
    const path = written({ columnData: [{ name: 'i', data: rows, type: 'INT32' }, { name: 't', data: rows.map((i) => `t${i}`), type: 'STRING' }], rowGroupSize: 7_000 })
    const table = await openTable([path])
    expect([table.columns, table.progress.total, table.progress.rows]).toEqual([['i', 't'], 20_000, 0])
    expect((await read(path)).rows).toEqual(rows.map((i) => ({ i, t: `t${i}` })))
    expect((await read(path, { columns: ['t'] })).rows[19_999]).toEqual({ t: 't19999' })
  })

  test.each([['GZIP', gzipSync], ['ZSTD', zstdCompressSync]] as const)('%s is unpacked by Node', async (codec, pack) => {
    const path = written({ columnData: [{ name: 'i', data: rows, type: 'INT32' }], codec, compressors: { [codec]: (bytes: Uint8Array) => new Uint8Array(pack(bytes)) } })
    expect((await read(path)).rows.at(-1)).toEqual({ i: 19_999 })
  })

  test('other compressions are named', async () => {
    const path = written({ columnData: [{ name: 'i', data: rows, type: 'INT32' }], codec: 'LZ4_RAW', compressors: { LZ4_RAW: (bytes: Uint8Array) => bytes } })
    await expect(read(path)).rejects.toThrow('column "i": expected one of the compressions UNCOMPRESSED, SNAPPY, GZIP, ZSTD, BROTLI, found LZ4_RAW; write the file with snappy or zstd')
  })

  test('what is no Parquet, or only its beginning', async () => {
    await expect(read(file('a.parquet', 'a,b\n1,2\n3,4\n'))).rejects.toThrow('a.parquet: cannot be read as Parquet')
    const whole = Buffer.from(parquetWriteBuffer({ columnData: [{ name: 'i', data: rows, type: 'INT32' }] }))
    await expect(read(file('a.parquet', whole.subarray(0, whole.length / 2)))).rejects.toThrow('cannot be read as Parquet, whole and not cut short')
    await expect(read(file('a.parquet', ''))).rejects.toThrow('a.parquet: expected Parquet, found a file of 0 bytes')
  })
})

describe('folders and names', () => {
  test('data files below a folder in the order of their names; half-written and hidden ones are left alone', async () => {
    const path = folder()
    mkdirSync(join(path, 'date=2026-02-02'))
    writeFileSync(join(path, 'date=2026-02-02', 'b.jsonl'), '{"a":2,"b":true}\n')
    writeFileSync(join(path, 'c.csv'), 'a\n3\n')
    writeFileSync(join(path, 'date=2026-02-02', 'a.parquet'), Buffer.from(parquetWriteBuffer({ columnData: [{ name: 'a', data: [1], type: 'INT32' }] })))
    for (const name of ['_SUCCESS', '.part.parquet', 'notes.txt', 'a.csv.tmp']) writeFileSync(join(path, name), 'x')
    const { table, rows } = await read(path)
    expect(rows).toEqual([{ a: 3 }, { a: 1 }, { a: 2, b: true }])
    expect(table.progress).toMatchObject({ rows: 3, read: table.progress.bytes })
  })

  test('nothing to read, and what has no known ending', async () => {
    await expect(read(folder())).rejects.toThrow('expected CSV, JSONL or Parquet files in the folder, found none')
    const path = file('data.txt', 'a\n1\n')
    await expect(read(path)).rejects.toThrow('data.txt: expected a name that ends in .csv')
    expect((await read(path, { format: 'csv' })).rows).toEqual([{ a: 1 }])
  })
})
