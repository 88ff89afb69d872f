/** CSV against RFC 4180, against what pandas reads, and against a model that writes and reads cells. */
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, it, test } from 'vitest'
import { file, read } from './setup.ts'

const rowsOf = async (text: string | Buffer, name = 'a.csv') => (await read(file(name, text))).rows

describe('RFC 4180', () => {
  it.each([
    ['line feeds', 'a,b\n1,x\n', [{ a: 1, b: 'x' }]],
    ['carriage returns with line feeds (2.1)', 'a,b\r\n1,x\r\n', [{ a: 1, b: 'x' }]],
    ['lone carriage returns', 'a,b\r1,x\r', [{ a: 1, b: 'x' }]],
    ['no break behind the last record (2.2)', 'a,b\n1,x\n2,y', [{ a: 1, b: 'x' }, { a: 2, b: 'y' }]],
    ['spaces belong to a cell (2.4)', 'a,b\n x , y\n', [{ a: ' x ', b: ' y' }]],
    ['quoted cells (2.5)', '"a","b"\n"x","y"\n', [{ a: 'x', b: 'y' }]],
    ['commas, breaks and quotes within quotes (2.6, 2.7)', 'a,b\n"x,1","p\r\nq"\n"say ""hi""",z\n', [{ a: 'x,1', b: 'p\r\nq' }, { a: 'say "hi"', b: 'z' }]],
    ['a byte order mark', '\uFEFFa,b\n1,x\n', [{ a: 1, b: 'x' }]],
    ['empty lines are read over', 'a,b\n\n1,x\n\n', [{ a: 1, b: 'x' }]],
    ['an empty cell is null, a quoted empty one a text', 'a,b\n,""\nx,y\n', [{ a: null, b: '' }, { a: 'x', b: 'y' }]],
    ['an empty cell at the end', 'a,b\nx,\ny,', [{ a: 'x', b: null }, { a: 'y', b: null }]],
    ['a header alone', 'a,b\n', []],
    ['tabs', 'a\tb\n1\tx,y\n', [{ a: 1, b: 'x,y' }]],
    ['semicolons', 'a;b\n1;x,y\n', [{ a: 1, b: 'x,y' }]],
    ['a column without a name', ',b\n0,x\n', [{ 'Unnamed: 0': 0, b: 'x' }]],
    ['a column called __proto__', '__proto__,b\n1,2\n', [Object.fromEntries([['__proto__', 1], ['b', 2]])]],
  ])('%s', async (_name, text, rows) => {
    expect(await rowsOf(text)).toEqual(rows)
  })

  test('packed', async () => {
    expect(await rowsOf(gzipSync('a,b\n1,x\n'), 'a.csv.gz')).toEqual([{ a: 1, b: 'x' }])
  })
})

describe('types are learned by column', () => {
  const cells = async (...spelled: string[]) => (await rowsOf(`a,z\n${spelled.map((cell) => `${cell},z\n`).join('')}`)).map(({ a }) => a)

  it.each([
    ['numbers as Python writes them', ['1', '-2.5', '+3', '1e-3', '.5', '2.', 'NaN', 'nan', 'inf', '-inf'], [1, -2.5, 3, 0.001, 0.5, 2, NaN, NaN, Infinity, -Infinity]],
    ['what says nothing among numbers', ['1', '', 'NA', 'null', 'None', '2'], [1, null, null, null, null, 2]],
    ['the same words among texts are texts', ['NA', 'DE', 'None'], ['NA', 'DE', 'None']],
    ['leading zeros make texts', ['02138', '10001'], ['02138', '10001']],
    ['0 and 0.5 do not', ['0', '0.5', '-0.5'], [0, 0.5, -0.5]],
    ['booleans', ['true', 'False', 'TRUE', ''], [true, false, true, null]],
    ['hexadecimal is text', ['0x10', '0x11'], ['0x10', '0x11']],
    ['whole numbers beyond 2^53 stay exact', ['9007199254740993', '1'], [9007199254740993n, 1]],
    ['half numbers, half words: texts', ['1', 'x', '2', 'y'], ['1', 'x', '2', 'y']],
  ])('%s', async (_name, spelled, values) => {
    expect(await cells(...spelled)).toEqual(values)
  })

  test('a few words among many numbers stay words', async () => {
    const values = await cells(...Array.from({ length: 99 }, (_, i) => String(i)), 'oops')
    expect(values.slice(97)).toEqual([97, 98, 'oops'])
  })

  test('a column that begins with twenty thousand empty cells is learned later', async () => {
    const { rows } = await read(file('a.csv', `a,b\n${',x\n'.repeat(20_000)}7,x\n`))
    expect(rows.at(-1)).toEqual({ a: 7, b: 'x' })
  })
})

describe('bad files', () => {
  it.each([
    ['an empty file', '', ': expected a header line, found an empty file'],
    ['a short record', 'a,b\n1,2\n3\n4,5\n', ':3: expected 2 cells as in the header, found 1'],
    ['a long record', 'a,b\n"x\ny",2\n3,4,5\n', ':4: expected 2 cells as in the header, found 3'],
    ['a quote within a cell', 'a,b\n1,x"y\n', ':2: a quote within a cell that is not quoted; put the cell into quotes and double the quote'],
    ['something behind a quoted cell', 'a,b\n"x"y,2\n', ':2: expected the end of the cell behind its closing quote, found "y"'],
    ['a quote that is never closed', 'a,b\n1,"x\n2,y\n3,z\n', ':2: a quote that is opened here is never closed'],
    ['a name twice', 'a,b,a\n', ':1: expected every column once in the header, found "a" twice'],
  ])('%s', async (_name, text, message) => {
    const path = file('a.csv', text)
    await expect(read(path)).rejects.toThrow(path + message)
  })

  test('other encodings', async () => {
    await expect(read(file('a.csv', Buffer.from('a,b\ncaf\u00e9,1\n', 'latin1')))).rejects.toThrow(/expected UTF-8, found other bytes .*`iconv/)
  })

  it.each([
    ['within a record', 'a,b,c\n1,2,3\n4,5', 'the last line broke off after 2 of 3 cells; it was left out'],
    ['within a quoted cell', 'a,b,c\n1,2,3\n4,"5', 'the last line broke off within a quoted cell; it was left out'],
  ])('a last line that broke off %s is left out and told', async (_name, text, note) => {
    const { table, rows } = await read(file('a.csv', text))
    expect(rows).toEqual([{ a: 1, b: 2, c: 3 }])
    expect(table.notes).toEqual([expect.stringContaining(`:3: ${note}`)])
  })

  test('a file that is not there, a packed one that is not packed', async () => {
    await expect(read('/nowhere/a.csv')).rejects.toThrow('/nowhere/a.csv: there is no such file or folder')
    await expect(read(file('a.csv.gz', 'a,b\n'))).rejects.toThrow('cannot be read')
  })
})

test('whatever is written is read again, quoted or not, with any line break and wherever the pieces of the file end', async () => {
  // The letter makes a column of texts; what is long moves the ends of pieces (1 MiB).
  const cell = fc.oneof(fc.string({ unit: 'grapheme', maxLength: 8 }), fc.constantFrom('"', '""', ',', '\n', '\r\n', ' ', 'é"', '\u{1f600}')).map((text) => `t${text}`)
  const filled = fc.record({ cells: fc.array(fc.tuple(cell, cell), { minLength: 1, maxLength: 8 }), eol: fc.constantFrom('\n', '\r\n', '\r'), ended: fc.boolean(), pad: fc.integer({ min: 0, max: 40 }) })
  await fc.assert(fc.asyncProperty(filled, async ({ cells, eol, ended, pad }) => {
    const padding: [string, string] = ['p'.repeat((1 << 20) - pad), 'p']
    const all = pad % 4 === 0 ? [padding, ...cells] : cells
    const quoted = (text: string): string => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text)
    const text = ['a,b', ...all.map((row) => row.map(quoted).join(','))].join(eol) + (ended ? eol : '')
    expect((await read(file('a.csv', text))).rows).toEqual(all.map(([a, b]) => ({ a, b })))
  }), { numRuns: 60 })
})
