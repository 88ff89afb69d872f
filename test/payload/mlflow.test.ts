/**
 * MLflow's scoring server. Requests are those of its documentation ("Deploy MLflow Model as a Local Inference Server");
 * CSV values are what pandas' read_csv makes of them.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { WeirError } from '../../gateway/errors.ts'
import { Fields } from '../../gateway/headers.ts'
import type { Column, Columns } from '../../gateway/payload/columns.ts'
import { mlflow } from '../../gateway/payload/mlflow.ts'
import { fp64, nullAt, refusal, table } from './parts.ts'

const JSON_TYPE = 'application/json'

function read(text: string | Buffer, type: string | null = JSON_TYPE): Columns {
  return mlflow.readRequest(Buffer.from(text as string), Fields.of(type === null ? [] : ['Content-Type', type]))
}

function csv(text: string): Columns {
  return read(text, 'text/csv')
}

function answered(text: string): Columns {
  return mlflow.readAnswer(Buffer.from(text), Fields.of([]))
}

function answer(columns: readonly Column[], request: string): string {
  return mlflow.writeAnswer({ columns }, read(request)).body.toString()
}

function request(columns: Columns): string {
  return mlflow.writeRequest(columns).body.toString()
}

const bytes = (name: string, data: string[]): Column => ({ name, dtype: 'BYTES', shape: [data.length], data })

describe('the examples of the documentation', () => {
  const abc = [fp64('a', [2], [1, 4]), fp64('b', [2], [2, 5]), fp64('c', [2], [3, 6])]
  const tensors = [bytes('a', ['s1', 's2', 's3']), fp64('b', [3], [1, 2, 3]), fp64('c', [3, 3], [1, 2, 3, 4, 5, 6, 7, 8, 9])]

  test('split-oriented data frame', () => {
    expect(read('{\n  "dataframe_split": {\n      "columns": ["a", "b", "c"],\n      "data": [[1, 2, 3], [4, 5, 6]]\n  }\n}')).toEqual({ columns: abc, ordered: true })
  })

  test('record-oriented data frame', () => {
    expect(read('{\n  "dataframe_records": [\n    {"a": 1,"b": 2,"c": 3},\n    {"a": 4,"b": 5,"c": 6}\n  ]\n}')).toEqual({ columns: abc })
  })

  test('instances and inputs of TF Serving', () => {
    expect(read('{\n    "instances": [\n        {"a": "s1", "b": 1, "c": [1, 2, 3]},\n        {"a": "s2", "b": 2, "c": [4, 5, 6]},\n        {"a": "s3", "b": 3, "c": [7, 8, 9]}\n    ]\n}')).toEqual({ columns: tensors })
    expect(read('{\n    "inputs": {\n        "a": ["s1", "s2", "s3"],\n        "b": [1, 2, 3],\n        "c": [[1, 2, 3], [4, 5, 6], [7, 8, 9]]\n    }\n}')).toEqual({ columns: tensors, columnar: true })
    expect(read('{"inputs": [[1, 2], [3, 4], [5, 6]]}')).toEqual({ columns: [fp64('', [3, 2], [1, 2, 3, 4, 5, 6])], columnar: true })
  })

  test('params beside them, and the quickstart', () => {
    expect(read('{"inputs": ["question"], "params": {"max_answer_len": 10}}').columns).toEqual([bytes('', ['question'])])
    expect(read('{"dataframe_split": {"columns": ["x"], "data": [[1], [-1]]}}').columns).toEqual([fp64('x', [2], [1, -1])])
    const labels: Column = { name: 'label', dtype: 'INT64', shape: [2], data: BigInt64Array.of(1n, 0n) }
    expect(answer([labels], '{"dataframe_split": {"columns": ["x"], "data": [[1], [-1]]}}')).toBe('{"predictions":[1,0]}')
  })

  test('CSV', () => {
    const { columns } = csv('a,b,c\n1,2,3\n4,5,6\n')
    expect(columns).toMatchObject(abc)
    expect(columns[2]!.spelled).toEqual(['3', '6'])
  })
})

describe('data frames', () => {
  test('keys in any order, mixed columns, lists in cells, an index', () => {
    expect(read('{"dataframe_split":{"data":[[1,"x",[1,2]],[null,"y",[3,4]]],"index":[10,11],"columns":["n","s","v"]}}').columns).toEqual([nullAt(fp64('n', [2], [1, Number.NaN]), 1), bytes('s', ['x', 'y']), fp64('v', [2, 2], [1, 2, 3, 4])])
  })

  test('without names they are counted, as pandas does', () => {
    const numbered = [fp64('0', [2], [1, 3]), fp64('1', [2], [2, 4])]
    expect(read('{"dataframe_split":{"columns":[0,1],"data":[[1,2],[3,4]]}}')).toEqual({ columns: numbered, ordered: true })
    expect(read('{"dataframe_split":{"data":[[1,2],[3,4]]}}')).toEqual({ columns: numbered, ordered: true })
  })

  test('no rows', () => {
    expect(read('{"dataframe_split":{"columns":["a"],"data":[]}}').columns).toEqual([fp64('a', [0], [])])
    expect(read('{"dataframe_records":[]}').columns).toEqual([])
    expect(answer([], '{"dataframe_records":[]}')).toBe('{"predictions":[]}')
  })

  test('NaN as Python writes it, exact integers', () => {
    expect(read('{"dataframe_split":{"columns":["a"],"data":[[NaN],[-Infinity]]}}').columns).toEqual([fp64('a', [2], [Number.NaN, -Infinity])])
    expect(read('{"dataframe_records":[{"a":9007199254740993}]}').columns).toEqual([{ name: 'a', dtype: 'INT64', shape: [1], data: BigInt64Array.of(9007199254740993n) }])
  })
})

describe('CSV', () => {
  test('quotes, commas and line breaks in cells, CR LF, a byte order mark, empty lines', () => {
    const text = '\uFEFFa,"b ""x"", y",c\r\n\r\n1,"two\r\nlines","3"\r\n-2.5e1,,.5\r\n'
    expect(csv(text)).toEqual({
      ordered: true,
      columns: [
        { ...fp64('a', [2], [1, -25]), spelled: ['1', '-2.5e1'] },
        bytes('b "x", y', ['two\r\nlines', '']),
        { ...fp64('c', [2], [3, 0.5]), spelled: ['3', '.5'] },
      ],
    })
  })

  test('numbers, missing numbers, truths, texts', () => {
    const { columns } = csv('n,m,t,s,id,zip\n1, 2.5 ,True,a,9007199254740993,01234\n,NaN,false,NA,-1,98765\nNA,null,TRUE,True,0,5')
    expect(columns.map(({ dtype }) => dtype)).toEqual(['FP64', 'FP64', 'BOOL', 'BYTES', 'INT64', 'FP64'])
    expect(columns[0]!.data).toEqual(Float64Array.of(1, Number.NaN, Number.NaN))
    // What says NaN is a number, what says nothing, NA or null is null.
    expect([columns[0]!.nulls, columns[1]!.nulls]).toEqual([Uint8Array.of(0, 1, 1), Uint8Array.of(0, 0, 1)])
    expect(columns[1]!.data).toEqual(Float64Array.of(2.5, Number.NaN, Number.NaN))
    expect(columns[2]!.data).toEqual(Uint8Array.of(1, 0, 1))
    expect(columns[3]!.data).toEqual(['a', 'NA', 'True'])
    expect(columns[4]!.data).toEqual(BigInt64Array.of(9007199254740993n, -1n, 0n))
    expect(columns[5]!.spelled).toEqual(['01234', '98765', '5'])
  })

  test('an index written along has the name that pandas gives it, a header alone is no rows', () => {
    expect(csv(',a\n0,1\n').columns.map(({ name }) => name)).toEqual(['Unnamed: 0', 'a'])
    expect(csv('a,b').columns.map(({ name, shape }) => ({ name, shape }))).toEqual([{ name: 'a', shape: [0] }, { name: 'b', shape: [0] }])
    expect(csv('a\n1\n\n2').columns[0]!.data).toEqual(Float64Array.of(1, 2))
    expect(csv('a,b\n1,').columns[1]!.data).toEqual(Float64Array.of(Number.NaN))
  })

  test('what is quoted by the rules reads back', () => {
    const cell = fc.string({ unit: fc.constantFrom('a', '"', ',', '\n', '\r\n', ' ', 'é', '𝄞') })
    // A letter first: no number, no missing value, no empty line.
    const line = fc.tuple(cell, cell).map(([a, b]) => [`x${a}`, `y${b}`])
    const quoted = (text: string): string => `"${text.replaceAll('"', '""')}"`
    fc.assert(fc.property(fc.array(line, { minLength: 1 }), (lines) => {
      const text = ['p,q', ...lines.map((cells) => cells.map(quoted).join(','))].join('\r\n')
      expect(csv(text).columns).toEqual([bytes('p', lines.map(([a]) => a!)), bytes('q', lines.map(([, b]) => b!))])
    }))
  })

  test.each([
    ['', 'BAD_BODY', 'expected a CSV body with a header line, found an empty one'],
    ['\n\n', 'BAD_BODY', 'found an empty one'],
    ['a,b\n1\n', 'BAD_BODY', 'CSV line 2: expected 2 cells, found 1'],
    ['a,b\n1,2\n"x\ny",2\n1,2,3', 'BAD_BODY', 'CSV line 5: expected 2 cells, found 3'],
    ['a\n"x', 'BAD_BODY', 'CSV line 2: a quote is not closed'],
    ['a\n"x"y', 'BAD_BODY', 'CSV line 2: expected a comma behind the quoted cell, found "y"'],
    ['a\nx"y"', 'BAD_BODY', 'CSV line 2: a quote within a cell that is not quoted'],
    ['a,a\n1,2', 'MODEL_INPUT', 'the CSV header has "a" twice'],
    ['x,'.repeat(65_536), 'MODEL_INPUT', 'expected at most 65536 columns, found 65537'],
  ])('%j', (text, code, message) => {
    const error = refusal(() => csv(text))
    expect(error.message).toContain(message)
    expect(error.code).toBe(code)
  })

  test('bytes that are no UTF-8', () => {
    expect(refusal(() => read(Buffer.from([0x61, 0x0a, 0xff]), 'text/csv')).message).toBe('the CSV body is not UTF-8')
  })
})

describe('refusing', () => {
  test.each([
    ['text/plain', 'expected content-type application/json or text/csv, found text/plain'],
    ['application/x-www-form-urlencoded', 'found application/x-www-form-urlencoded'],
    ['application/json; charset=latin1', 'content-type: expected no parameter but charset=utf-8, found charset=latin1'],
    ['application/json; format=pandas-split', 'found format=pandas-split'],
    ['', 'expected content-type application/json or text/csv, found '],
  ])('content-type %s', (type, message) => {
    const error = refusal(() => read('{"inputs":[1]}', type))
    expect(error.message).toContain(message)
    expect(error.code).toBe('UNSUPPORTED_MEDIA_TYPE')
    expect(error.status).toBe(415)
  })

  test.each(['application/json', 'Application/JSON; Charset="UTF-8"', 'application/json;charset=utf-8;', null])('content-type %s is read', (type) => {
    expect(read('{"inputs":[1]}', type).columns).toHaveLength(1)
  })

  test.each([
    ['', 'BAD_BODY', 'found an empty one'],
    ['[[1]]', 'BAD_BODY', 'expected an object'],
    ['{}', 'BAD_BODY', 'expected exactly one of "dataframe_split", "dataframe_records", "instances", "inputs", found none'],
    ['{"columns":["a"],"data":[[1]]}', 'BAD_BODY', 'expected exactly one of'],
    ['{"messages":[{"role":"user"}]}', 'BAD_BODY', 'expected exactly one of'],
    ['{"inputs":[1],"instances":[1]}', 'BAD_BODY', 'expected either "inputs" or "instances", found both'],
    ['{"dataframe_records":[{"a":1}],"dataframe_split":{}}', 'BAD_BODY', 'expected either "dataframe_records" or "dataframe_split", found both'],
    ['{"inputs":[1],"inputs":[1]}', 'BAD_BODY', '"inputs" is given twice'],
    ['{"inputs":[1],"params":[1]}', 'BAD_BODY', 'expected "params" to be an object, found an array'],
    ['{"dataframe_records":{"a":[1]}}', 'BAD_BODY', 'expected "dataframe_records" to be a list, found an object'],
    ['{"dataframe_records":[[1]]}', 'BAD_BODY', 'expected "dataframe_records" to be a list of objects, found a list of values'],
    ['{"dataframe_records":[{"a":1},{"b":1}]}', 'MODEL_INPUT', 'row 1 has "b", which row 0 lacks'],
    ['{"dataframe_split":[[1]]}', 'BAD_BODY', 'expected "dataframe_split" to be an object with "columns" and "data", found an array'],
    ['{"dataframe_split":{"columns":["a"]}}', 'BAD_BODY', '"dataframe_split" has no "data"'],
    ['{"dataframe_split":{"columns":["a"],"data":[[1]],"dtype":"x"}}', 'BAD_BODY', '"dataframe_split" has "dtype"; expected "columns", "index" and "data" alone'],
    ['{"dataframe_split":{"columns":["a"],"data":[[1]],"data":[[1]]}}', 'BAD_BODY', '"dataframe_split" has "data" twice'],
    ['{"dataframe_split":{"columns":{"a":1},"data":[[1]]}}', 'BAD_BODY', 'expected "dataframe_split.columns" to be a list, found an object'],
    ['{"dataframe_split":{"columns":["a",1.5],"data":[[1,2]]}}', 'BAD_BODY', '"dataframe_split.columns[1]": expected a name, found 1.5'],
    ['{"dataframe_split":{"columns":["a","a"],"data":[[1,2]]}}', 'MODEL_INPUT', '"dataframe_split.columns" has "a" twice'],
    ['{"dataframe_split":{"columns":["a"],"data":[1]}}', 'BAD_BODY', '"dataframe_split.data[0]": expected a list of values, found 1'],
    ['{"dataframe_split":{"columns":["a","b"],"data":[[1,2],[1]]}}', 'MODEL_INPUT', '"dataframe_split.data[1]": expected 2 values, found 1'],
    ['{"dataframe_split":{"columns":["a"],"data":[[1,2]]}}', 'MODEL_INPUT', '"dataframe_split.data[0]": expected 1 values, found more'],
    ['{"dataframe_split":{"data":[[1,2],[1]]}}', 'MODEL_INPUT', '"dataframe_split.data[1]": expected 2 values, found 1'],
    ['{"dataframe_split":{"columns":["a"],"data":[[1],["x"]]}}', 'MODEL_INPUT', '"a" in row 1: expected a number as before, found "x"'],
    ['{"dataframe_split":{"columns":["a"],"data":[[[1,2]],[[1]]]}}', 'MODEL_INPUT', '"a" in row 1: expected a list of 2, found 1'],
    ['{"dataframe_split":{"columns":["a"],"index":[0,1],"data":[[1]]}}', 'MODEL_INPUT', '"dataframe_split.index" has 2 entries, "data" 1 rows'],
    ['{"instances":[{"image":{"b64":"YQ=="}}]}', 'MODEL_INPUT', '"image" in row 0: expected a number, string, boolean, null or a list of these, found an object'],
    ['{"inputs":{"a":[[1],[2,3]]}}', 'MODEL_INPUT', '"a" at [1]: expected a list of 1, found 2'],
    ['{"inputs":[1]}}', 'BAD_BODY', 'the end of the body'],
  ])('%s', (text, code, message) => {
    const error = refusal(() => read(text))
    expect(error.message).toContain(message)
    expect(error.code).toBe(code)
  })

  test('any damage is refused, never by another kind of error', () => {
    const bodies = [
      [Buffer.from('{"dataframe_split":{"index":[0,1],"data":[[1,"a",NaN],[2.5e3,"b",null]],"columns":["x",1,"z"]},"params":{"k":1}}'), JSON_TYPE],
      [Buffer.from('a,"b",c\r\n1,"x ""y""",True\r\n,z,False\r\n'), 'text/csv'],
    ] as const
    fc.assert(fc.property(fc.constantFrom(...bodies), fc.nat(), fc.integer({ min: 0, max: 255 }), fc.boolean(), ([body, type], at, byte, cut) => {
      const damaged = Buffer.from(cut ? body.subarray(0, at % body.length) : body)
      if (!cut) damaged[at % body.length] = byte
      try {
        read(damaged, type)
      } catch (error) {
        expect(['BAD_BODY', 'MODEL_INPUT']).toContain((error as WeirError).code)
      }
    }), { numRuns: 500 })
  })
})

describe('answers', () => {
  const label: Column = { name: 'label', dtype: 'INT64', shape: [2], data: BigInt64Array.of(1n, 0n) }
  const matrix: Column = { name: 'p', dtype: 'FP32', shape: [2, 1], data: Float32Array.of(0.1, 0.5) }
  const frame = '{"dataframe_split":{"columns":["a"],"data":[[1],[2]]}}'

  test('one output is its list, several are records', () => {
    expect(answer([matrix], frame)).toBe('{"predictions":[[0.1],[0.5]]}')
    expect(answer([label, matrix], frame)).toBe('{"predictions":[{"label":1,"p":[0.1]},{"label":0,"p":[0.5]}]}')
    expect(answer([{ name: 's', dtype: 'INT32', shape: [], data: Int32Array.of(7) }], '{"inputs":[1,2]}')).toBe('{"predictions":7}')
  })

  test('another number of rows is an error', () => {
    expect(refusal(() => answer([label], '{"dataframe_records":[{"a":1}]}')).code).toBe('MODEL_FAILED')
  })

  test('are read back: lists, records, columns, a value', () => {
    expect(answered('{"predictions":[0.5,NaN]}').columns).toEqual([fp64('predictions', [2], [0.5, Number.NaN])])
    expect(answered('{"predictions":[{"a":1,"b":"x"}]}').columns).toEqual([fp64('a', [1], [1]), bytes('b', ['x'])])
    expect(answered('{"predictions":{"a":[1,2]}}').columns).toEqual([fp64('a', [2], [1, 2])])
    expect(answered('{"predictions":7}').columns).toEqual([fp64('predictions', [], [7])])
    for (const text of ['', '[1]', '{}', '{"error_code":"BAD_REQUEST","message":"x"}', '{"predictions":[1,"x"]}']) expect(refusal(() => answered(text)).code).toBe('INVALID_ANSWER')
  })
})

describe('requests', () => {
  test('features are a data frame, anything else inputs', () => {
    expect(request({ columns: [fp64('a', [2, 1], [1, Number.NaN]), bytes('b', ['x', 'y'])] })).toBe('{"dataframe_split":{"columns":["a","b"],"data":[[1,"x"],[NaN,"y"]]}}')
    expect(request({ columns: [fp64('features', [1, 2], [1, 2])] })).toBe('{"inputs":[[1,2]]}')
    expect(request({ columns: [fp64('', [2], [1, 2])] })).toBe('{"inputs":[1,2]}')
    expect(request({ columns: [fp64('a', [1], [1]), fp64('b', [1, 2], [2, 3])] })).toBe('{"inputs":{"a":[1],"b":[[2,3]]}}')
    expect(request({ columns: [fp64('a', [1], [1])], columnar: true })).toBe('{"inputs":[1]}')
  })

  test('what is written reads back to the same values', () => {
    fc.assert(fc.property(table(3), (columns) => {
      expect(read(request({ columns, columnar: true }))).toEqual({ columns, columnar: true })
    }))
    fc.assert(fc.property(table(3), (columns) => {
      const plain = columns.map(({ nulls, ...column }) => {
        const count = column.shape[0]!
        const short = { ...column, shape: [count], data: column.data.slice(0, count) }
        return nulls?.subarray(0, count).includes(1) === true ? { ...short, nulls: nulls.slice(0, count) } : short
      }) as Column[]
      expect(read(request({ columns: plain }))).toEqual({ columns: plain, ordered: true })
    }))
  })
})
