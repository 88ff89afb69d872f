/** What the engine knows, as plain data: for `GET /state`, for backtests, for people. */
import type { Comparison } from './compare.ts'
import type { Compared, Drift } from './drift.ts'
import type { Judged } from './state.ts'
import { LEAST_ROWS } from './findings.ts'
import { modelReport } from './outlier_model.ts'
import { shareCounts } from './shares.ts'
import { SEASONS } from './times.ts'
import type { Watched } from './watched.ts'

/** How scores are made, for whoever wants to compute them again from the counts. */
const FORMULAS = {
  js_bits: 'Jensen-Shannon divergence of the groups in bits; debiased: less (k - 1) (d/n + 1/m) / (8 ln 2); noise: chi-square quantile with k - 1 degrees of freedom times (d/n + 1/m) / (8 ln 2)',
  psi: 'sum of (p - q) ln(p / q), an empty group counts half a row; debiased: less (k - 1) (d/n + 1/m)',
  ks: 'largest difference of the distribution functions at cell edges; debiased: less 0.8687 sqrt(d/n + 1/m)',
  wasserstein_sd: 'area between the distribution functions by the standard deviation of the training data; debiased: less its mean without drift, sqrt(2/pi) sqrt(d/n + 1/m) integral of sqrt(F (1 - F))',
  l_infinity: 'largest difference of a share; debiased: less sqrt(2/pi) standard errors of the share that varies most',
  tfdv_js_bits: 'as TensorFlow Data Validation: 10 equal widths of each side, NaN never match',
  p: 'two-sample G test of the groups, expected counts below 5 pooled, its statistic divided by d',
  shares: 'P(X >= count), X binomial(count + expected, n / (n + m)), all divided by d',
  symbols: 'k groups that hold something, n rows of the window, m of the other side, d rows that say as much as one independent row (from the days of the training data)',
} as const

export type Status = 'ok' | 'alarm' | 'insufficient_data' | 'missing'

export function statusOf(watched: Watched, drift: Drift): Status {
  const { judge, met, season, last } = drift.state
  for (const { feature } of judge.active.values()) if (feature === watched.name) return 'alarm'
  const judged = season ?? last
  if (judged === null) return 'insufficient_data'
  if (!met.has(watched.order)) return 'missing'
  return valuesOf(watched, judged) / watched.design < LEAST_ROWS ? 'insufficient_data' : 'ok'
}

function valuesOf({ at, cells }: Watched, { cells: words }: Judged): number {
  return words.subarray(at, at + cells).reduce((sum, count) => sum + count, 0)
}

export function reportOf(drift: Drift): Readonly<Record<string, unknown>> {
  const { state, plan, options, times } = drift
  const window = drift.sliding()
  return {
    window: stretchOf(window), season: stretchOf(state.season), whole_season: state.season !== null && state.began <= state.season.from,
    alarm_budget: options.budget, least_rise_of_a_share: options.share, persistence: options.persistence, window_ms: times.window, season_ms: times.season,
    features: plan.features.map((watched) => featureOf(watched, drift, window)),
    outlier_model: modelReport(drift, window),
    formulas: FORMULAS,
  }
}

function stretchOf(judged: Judged | null): unknown {
  return judged === null ? null : { from: new Date(judged.from).toISOString(), to: new Date(judged.to).toISOString(), rows: judged.rows }
}

function featureOf(watched: Watched, drift: Drift, window: Judged | null): unknown {
  const active = [...drift.state.judge.active.values()].filter(({ feature }) => feature === watched.name)
  return {
    name: watched.name, side: watched.side, state: statusOf(watched, drift), statistic: watched.statistic, threshold: watched.threshold, rows_for_one_independent: watched.design,
    causes: active.map(({ cause, since, seen, score, threshold, reason }) => ({ cause, since: new Date(since).toISOString(), last_seen: new Date(seen).toISOString(), score, threshold, reason })),
    shares: window === null ? null : shareCounts(watched, window.cells).map(({ share, count, of, expected, expectedOf }) => ({ share, count, of, expected, expected_of: expectedOf })),
    unlisted: watched.values === null ? undefined : drift.names(watched).slice(0, 10),
    season: drift.state.season === null ? null : drift.compare(watched, drift.side(watched, drift.state.season.cells), drift.training(watched)),
    ...(window === null ? {} : comparisonsOf(watched, drift, window)),
  }
}

function comparisonsOf(watched: Watched, drift: Drift, window: Judged): Partial<Record<Compared, Comparison | null>> {
  const { previous } = drift.state
  const live = drift.side(watched, window.cells)
  const { compared } = drift.options
  const earlier = (back: number | null): Comparison | null => {
    const side = drift.earlier(watched, window.from, window.to, back)
    return side === null ? null : drift.compare(watched, live, side)
  }
  return {
    ...(compared.has('training') && { training: drift.compare(watched, live, drift.training(watched)) }),
    ...(compared.has('previous') && { previous: previous === null ? null : drift.compare(watched, live, drift.side(watched, previous.cells)) }),
    ...(compared.has('seasons') && { seasons: earlier(null) }),
    ...(compared.has('last_week') && { last_week: drift.week === null || drift.week > SEASONS ? null : earlier(drift.week) }),
  }
}
