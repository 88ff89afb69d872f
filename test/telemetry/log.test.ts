import { describe, expect, it } from 'vitest'
import { createLog, type LogOptions } from '../../gateway/telemetry/log.ts'
import { FakeClock } from '../fake_clock.ts'

function logTo(options: Partial<LogOptions> = {}) {
  const lines: string[] = []
  const clock = new FakeClock(Date.UTC(2026, 0, 31, 12, 0, 0, 5))
  const log = createLog({ level: 'info', form: 'json', sink: { write: (line) => void lines.push(line) }, clock, ...options })
  return { log, lines, clock, last: () => JSON.parse(lines.at(-1)!) as Record<string, unknown> }
}

describe('json lines', () => {
  it('time, level, msg, then the fields', () => {
    const { log, lines } = logTo()
    log.warn('backend is down', { backend: 'up', tries: 3, ok: false, none: null })
    expect(lines).toEqual(['{"time":"2026-01-31T12:00:00.005Z","level":"warn","msg":"backend is down","backend":"up","tries":3,"ok":false,"none":null}'])
  })

  it('keeps what is below the level to itself', () => {
    const { log, lines } = logTo({ level: 'warn' })
    log.debug('d')
    log.info('i')
    log.warn('w')
    log.error('e')
    expect(lines.map((line) => (JSON.parse(line) as { msg: string }).msg)).toEqual(['w', 'e'])
  })

  it('children add fields and may override them', () => {
    const { log, last } = logTo({ fields: { thread: 1 } })
    log.child({ route: 'a' }).child({ plugin: 'split' }).info('x', { route: 'b' })
    expect(last()).toEqual({ time: '2026-01-31T12:00:00.005Z', level: 'info', msg: 'x', thread: 1, route: 'b', plugin: 'split' })
  })

  it('a field cannot pose as time, level or msg', () => {
    const { log, lines } = logTo()
    log.info('true', { msg: 'false', level: 'error', time: 'never' })
    expect(lines[0]).toBe('{"time":"2026-01-31T12:00:00.005Z","level":"info","msg":"true","msg_":"false","level_":"error","time_":"never"}')
  })

  it('an error is told whole, causes included', () => {
    const { log, last } = logTo()
    log.error('failed', { error: Object.assign(new Error('outer', { cause: new TypeError('inner') }), { code: 'ECONNRESET' }) })
    const { error } = last() as { error: { message: string; code: string; stack: string; cause: { name: string; message: string } } }
    expect(error).toMatchObject({ name: 'Error', message: 'outer', code: 'ECONNRESET', cause: { name: 'TypeError', message: 'inner' } })
    expect(error.stack).toContain('log.test.ts')
  })

  it('takes any value without throwing', () => {
    const { log, last } = logTo()
    const cycle: Record<string, unknown> = {}
    cycle['self'] = cycle
    log.info('odd', {
      big: 2n ** 60n, list: [1n], nan: Number.NaN, inf: -Infinity, map: new Map([['a', 1]]), set: new Set([1, 2]), fn: () => 1, gone: undefined, cycle,
      bad: { toJSON: () => { throw new Error('no') } }, symbol: Symbol('s'),
    })
    expect(last()).toMatchObject({ big: '1152921504606846976', list: ['1'], nan: 'NaN', inf: '-Infinity', map: { a: 1 }, set: [1, 2], symbol: 'Symbol(s)' })
    expect(last()['bad']).toBe('cannot be written: no')
    expect(last()['cycle']).toMatch(/^cannot be written: /)
    expect(Object.keys(last())).not.toContain('gone')
  })

  it('bounds the message, a value and the number of fields', () => {
    const { log, lines, last } = logTo()
    log.info('m'.repeat(100_000), { text: 't'.repeat(100_000), list: Array(100_000).fill(1), ...Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`f${i}`, i])) })
    expect(lines[0]!.length).toBeLessThan(16_384)
    expect(Object.keys(last())).toHaveLength(3 + 32)
    expect(last()['text']).toHaveLength(4096)
  })

  it('no input makes a second line', () => {
    const { log, lines } = logTo()
    log.info('a\n{"level":"error"}\u2028', { 'k\n': 'v\r\n\u202e', nested: { x: '\u2028\u0085' } })
    expect(lines[0]).not.toMatch(/[\n\r\u2028\u202e\u0085]/)
    expect(JSON.parse(lines[0]!)).toMatchObject({ msg: 'a\n{"level":"error"}\u2028', 'k\n': 'v\r\n\u202e', nested: { x: '\u2028\u0085' } })
  })
})

describe('readable lines', () => {
  it('for people: clock time, level, sentence, fields', () => {
    const { log, lines } = logTo({ form: 'readable' })
    log.info('listening', { address: 'http://127.0.0.1:8080', note: 'two words', n: 2 })
    expect(lines).toEqual(['12:00:00.005 INFO  listening  address=http://127.0.0.1:8080  note="two words"  n=2'])
  })

  it('cannot be made to forge a line or to move the cursor', () => {
    const { log, lines } = logTo({ form: 'readable' })
    log.info('x\n12:00 INFO forged\x1b[2J', { 'a\nb': 'c\x1b[0m' })
    expect(lines).toEqual(['12:00:00.005 INFO  x\\u000a12:00 INFO forged\\u001b[2J  a\\u000ab="c\\u001b[0m"'])
  })
})
