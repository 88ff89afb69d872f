/** Sampling by id: the hash is that of any SHA-256, the decisions of a smaller share are part of those of a larger one. */
import { createHash } from 'node:crypto'
import { expect, it } from 'vitest'
import { sampled } from '../../gateway/stats/sample.ts'

const ids = Array.from({ length: 20_000 }, (_, i) => `request-${i}`)

it('keeps an id when the first 53 bits of its SHA-256 are below the share', () => {
  for (const id of ids.slice(0, 500)) {
    const first = Number(createHash('sha256').update(id).digest().readBigUInt64BE() >> 11n)
    expect(sampled(id, 0.3), id).toBe((first + 0.5) / 2 ** 53 < 0.3)
  }
})

it('keeps the share, and what 1 % keeps 10 % keeps', () => {
  const one = ids.filter((id) => sampled(id, 0.01))
  const ten = ids.filter((id) => sampled(id, 0.1))
  // Four standard deviations of a binomial.
  expect(Math.abs(one.length - 200)).toBeLessThan(4 * Math.sqrt(200 * 0.99))
  expect(Math.abs(ten.length - 2000)).toBeLessThan(4 * Math.sqrt(2000 * 0.9))
  expect(one.filter((id) => !ten.includes(id))).toEqual([])
})

it('keeps all of 1 and nothing of 0', () => {
  expect(ids.every((id) => sampled(id, 1))).toBe(true)
  expect(ids.some((id) => sampled(id, 0))).toBe(false)
})
