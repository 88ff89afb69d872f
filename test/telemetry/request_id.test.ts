import { describe, expect, it } from 'vitest'
import { requestIdFrom, uuidv7 } from '../../gateway/telemetry/request_id.ts'
import { FakeClock } from '../fake_clock.ts'
import { systemClock } from '../../gateway/clock.ts'

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

/** The fields of RFC 9562, figure 11. */
function fieldsOf(id: string) {
  const bits = BigInt(`0x${id.replaceAll('-', '')}`)
  return { ms: Number(bits >> 80n), version: Number((bits >> 76n) & 0xfn), variant: Number((bits >> 62n) & 3n) }
}

describe('requestIdFrom', () => {
  it.each(['a', 'abc-123', '!~', 'x'.repeat(128), '"\\<>'])('keeps %j', (incoming) => {
    expect(requestIdFrom(incoming, () => 'new')).toBe(incoming)
  })

  it.each([undefined, '', 'x'.repeat(129), 'a b', 'a\n', 'a\r\nx: y', 'é', '\x7f', 'a\0'])('replaces %j', (incoming) => {
    expect(requestIdFrom(incoming, () => 'new')).toBe('new')
  })

  it('makes UUIDs by itself', () => {
    expect(requestIdFrom(undefined)).toMatch(UUID)
    expect(requestIdFrom(undefined)).not.toBe(requestIdFrom(undefined))
  })
})

describe('uuidv7', () => {
  it('has the version, the variant and the time of RFC 9562', () => {
    // The RFC's own example (appendix A.6) is of 2022-02-22 14:22:22.00 GMT-05:00, 0x017F22E279B0.
    const id = uuidv7(new FakeClock(0x017f22e279b0))()
    expect(id).toMatch(UUID)
    expect(id.slice(0, 15)).toBe('017f22e2-79b0-7')
    expect(fieldsOf(id)).toEqual({ ms: Date.UTC(2022, 1, 22, 19, 22, 22), version: 7, variant: 2 })
  })

  it('is unique and ascends over 100,000 ids of a real clock, and tells the time', () => {
    const next = uuidv7(systemClock)
    const before = Date.now()
    const ids = Array.from({ length: 100_000 }, next)
    const after = Date.now()
    expect(new Set(ids).size).toBe(ids.length)
    for (let i = 1; i < ids.length; i++) if (!(ids[i]! > ids[i - 1]!)) expect.fail(`${ids[i]} after ${ids[i - 1]}`)
    for (const id of ids) {
      const { ms, version, variant } = fieldsOf(id)
      if (ms < before || ms > after || version !== 7 || variant !== 2) expect.fail(`${id} is not a UUIDv7 of ${before}..${after}`)
    }
  })

  it('ascends while the clock stands, steps back a little and goes on', () => {
    let wall = 1_700_000_000_000
    const next = uuidv7({ ...systemClock, wall: () => wall })
    const ids: string[] = []
    for (const step of [0, 0, 0.4, 1, -5, -5, 0, 20, 0, 1]) {
      wall += step
      ids.push(next())
    }
    expect(ids).toEqual([...ids].sort())
    expect(new Set(ids).size).toBe(ids.length)
    expect(fieldsOf(ids.at(-1)!).ms).toBe(Math.floor(wall))
  })

  it('follows a clock that was far ahead and is put right', () => {
    let wall = 4_000_000_000_000
    const next = uuidv7({ ...systemClock, wall: () => wall })
    next()
    wall = 1_700_000_000_000
    expect(fieldsOf(next()).ms).toBe(wall)
  })

  it('two generators do not make the same ids', () => {
    const clock = new FakeClock()
    const [a, b] = [uuidv7(clock), uuidv7(clock)]
    const ids = Array.from({ length: 10_000 }, () => [a(), b()]).flat()
    expect(new Set(ids).size).toBe(20_000)
  })

  it('the random tail uses all its bits', () => {
    const next = uuidv7(new FakeClock())
    let seen = 0n
    let clear = 0n
    const mask = (1n << 48n) - 1n
    for (let i = 0; i < 2_000; i++) {
      const tail = BigInt(`0x${next().slice(-12)}`)
      seen |= tail
      clear |= ~tail & mask
    }
    expect([seen, clear]).toEqual([mask, mask])
  })
})
