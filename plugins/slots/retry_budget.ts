/** The budget that the retries and the hedges of an exchange are taken from; it is set once the exchange goes to a backend. */
import { type Cell, type Host, slot } from '../../gateway/plugin.ts'
import type { Budget } from '../../gateway/stats/budget.ts'

const retryBudget = slot<Budget>('retry.budget')

/** The cell that `retry` and `hedge` of a route share, whichever stands first. */
export function budgetCell(host: Pick<Host, 'provide' | 'use'>): Cell<Budget> {
  try {
    return host.use(retryBudget)
  } catch {
    return host.provide(retryBudget)
  }
}
