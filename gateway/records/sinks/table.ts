/** A table as a Parquet file: columns of a kind, lists and maps of them; Snappy. Written by hyparquet-writer, in row groups. */
import { ByteWriter, type ColumnSource, ParquetWriter, type SchemaElement } from 'hyparquet-writer'

export type Kind = 'double' | 'int64' | 'int32' | 'boolean' | 'string' | 'bytes' | 'time' | 'map'

export interface TableColumn {
  readonly name: string
  readonly kind: Kind
  /** Lists within lists; 0 = a value. */
  readonly depth: number
  /**
   * Values of the rows from `from` until `to`, asked for in order; null where there is none: `int64` bigint, `int32` and `double` number, `time` Date, `bytes`
   * Uint8Array, `map` an object of texts.
   */
  readonly part: (from: number, to: number) => unknown[]
  /** Large values that nobody searches by: no bounds, no dictionary. */
  readonly opaque?: boolean
}

/** Rows of a row group; what its columns take is in memory while it is written. */
const GROUP_ROWS = 20_000

const LEAVES: Readonly<Record<Exclude<Kind, 'map'>, Omit<SchemaElement, 'name'>>> = {
  double: { type: 'DOUBLE' },
  int64: { type: 'INT64' },
  int32: { type: 'INT32' },
  boolean: { type: 'BOOLEAN' },
  string: { type: 'BYTE_ARRAY', converted_type: 'UTF8', logical_type: { type: 'STRING' } },
  bytes: { type: 'BYTE_ARRAY' },
  time: { type: 'INT64', converted_type: 'TIMESTAMP_MILLIS', logical_type: { type: 'TIMESTAMP', isAdjustedToUTC: true, unit: 'MILLIS' } },
}

/** The bytes of the file. @param rows at least one @param about further metadata of the file */
export function parquetOf(columns: readonly TableColumn[], rows: number, about: Readonly<Record<string, string>>): Uint8Array {
  const writer = new ByteWriter()
  const schema: SchemaElement[] = [{ name: 'root', num_children: columns.length }, ...columns.flatMap(({ name, kind, depth }) => elements(name, kind, depth))]
  const parquet = new ParquetWriter({ writer, schema, createdBy: 'weir', kvMetadata: Object.entries(about).map(([key, value]) => ({ key, value })) })
  for (let from = 0; from < rows; from += GROUP_ROWS) {
    const to = Math.min(rows, from + GROUP_ROWS)
    parquet.write({ columnData: columns.map((column) => source(column, column.part(from, to))), rowGroupSize: GROUP_ROWS })
  }
  parquet.finish()
  return writer.getBytes()
}

/** The three levels of a LIST and of a MAP (parquet-format, LogicalTypes.md, "Nested Types"). */
function elements(name: string, kind: Kind, depth: number): SchemaElement[] {
  if (depth > 0) return [{ name, repetition_type: 'OPTIONAL', converted_type: 'LIST', logical_type: { type: 'LIST' }, num_children: 1 }, { name: 'list', repetition_type: 'REPEATED', num_children: 1 }, ...elements('element', kind, depth - 1)]
  if (kind !== 'map') return [{ name, repetition_type: 'OPTIONAL', ...LEAVES[kind] }]
  return [
    { name, repetition_type: 'OPTIONAL', converted_type: 'MAP', logical_type: { type: 'MAP' }, num_children: 1 },
    { name: 'key_value', repetition_type: 'REPEATED', num_children: 2 },
    { name: 'key', repetition_type: 'REQUIRED', ...LEAVES.string },
    { name: 'value', repetition_type: 'OPTIONAL', ...LEAVES.string },
  ]
}

function source({ name, opaque = false }: TableColumn, data: unknown[]): ColumnSource {
  const plain: ColumnSource = { name, data }
  return opaque ? { ...plain, encoding: 'PLAIN', statistics: false } : plain
}
