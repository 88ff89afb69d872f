/** The knob of all monitors: how many false alarms a week are to be expected at most. */

export const WEEK_MS = 604_800_000

/**
 * The level of each test that the budget allows.
 *
 * @param budget false alarms a week @param every milliseconds from one judgement to the next @param tests made at each of them
 * @param most however few judgements a week has: what chance shows that often is no news
 */
export function levelOf(budget: number, every: number, tests: number, most: number): number {
  return Math.min(most, (budget * every) / WEEK_MS / Math.max(1, tests))
}
