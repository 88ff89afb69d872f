/** S15: the primary is down for 60 s, then healthy; twenty requests, one every 4 s. */
import { pause } from '../blackbox/scripted.ts'
import type { Got } from './bodies.ts'
import { type Call, healthy, type Provider, refuse } from './provider.ts'
import { SECOND_MS, SLACK_MS, TOTAL_MS } from './scenarios.ts'

const DOWN_S = 60
const REQUESTS = 20
const EVERY_S = 4
const BACK_WITHIN_S = 30
/** Requests and checks that a provider that is down may be asked with meanwhile; without a memory there would be 45 requests. */
const MOST_TRIED = 9
const MOST_CHECKED = (DOWN_S / 5) * 1.2 + 2

const unavailable = refuse(503, 'overloaded')

/** How the primary behaves while `provider.down` holds its path. */
export const flapping = (provider: Provider, path: string) => (call: Call): unknown => (provider.down.has(path) ? unavailable(call) : healthy(call))

/** @returns what was wrong; a caller that gets no right answer is told by the first word */
export async function flap(provider: Provider, path: string, primary: readonly Call[], ask: () => Promise<{ readonly got: Got; readonly ms: number }>): Promise<string[]> {
  const complaints: string[] = []
  const before = provider.checks.get(path) ?? 0
  provider.down.add(path)
  const began = performance.now()
  let tried = 0
  let checked = 0
  const up = pause(DOWN_S * SECOND_MS).then(() => {
    tried = primary.length
    checked = (provider.checks.get(path) ?? 0) - before
    provider.down.delete(path)
    return performance.now()
  })
  const requests = Array.from({ length: REQUESTS }, async (_, i) => {
    await pause(Math.max(0, began + i * EVERY_S * SECOND_MS - performance.now()))
    const { got, ms } = await ask()
    if (got.how !== 'right') complaints.push(`request ${i}: ${got.how}, status ${got.status}`)
    if (ms > TOTAL_MS + SLACK_MS) complaints.push(`request ${i} took ${Math.round(ms)} ms`)
  })
  await Promise.all(requests)
  const upAt = await up
  const back = primary.find(({ at }) => at >= upAt)
  if (back === undefined) complaints.push('the primary was never asked again')
  else if (back.at - upAt > BACK_WITHIN_S * SECOND_MS) complaints.push(`back after ${Math.round(back.at - upAt)} ms`)
  if (tried > MOST_TRIED) complaints.push(`${tried} requests went to a primary that was down`)
  if (checked > MOST_CHECKED) complaints.push(`${checked} checks of a primary that was down`)
  return complaints
}
