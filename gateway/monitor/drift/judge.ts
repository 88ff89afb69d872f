/**
 * When a finding is an alarm, and when an alarm is over.
 *
 * Idea: the knob is the number of false alarms expected a week. A moment of judgement gets its part of it as rate q, and Benjamini and Hochberg
 * share q out among all tests of the moment: when nothing drifts, one of 1 / q moments alarms at all; when much does, each is found nearly as easily as
 * alone. A finding must also matter (its effect reaches the threshold), and be there in as many moments in a row as `persistence` says.
 * A distribution must differ from earlier seasons in one window more: hours of different days are less alike than chance has it.
 * An alarm is raised once, when its cause begins, and ends when the cause does.
 */
import type { Alarm } from '../../alarm.ts'
import { benjaminiHochberg } from '../../stats/fdr.ts'
import { binomialAtMost } from '../../stats/tails.ts'
import type { Share, Watched } from './watched.ts'

export type Cause = Share | 'distribution'

/** One test of one moment. */
export interface Finding {
  /** '' = the route as a whole. */
  readonly watched: Pick<Watched, 'name' | 'side'>
  readonly cause: Cause
  readonly statistic: string
  /** What was judged: a window, or everything since a season ago. */
  readonly level: 'window' | 'season'
  readonly p: number
  readonly effect: number
  readonly threshold: number
  /** Rows with the cause and all, of a share; else null. */
  readonly count: readonly [count: number, of: number] | null
  /** Rows suffice to tell. */
  readonly enough: boolean
  /** If the cause is known already: what was judged no longer shows it. */
  readonly quiet: boolean
  reason(): string
}

export interface Active {
  readonly feature: string
  readonly cause: Cause
  readonly statistic: string
  readonly level: Finding['level']
  readonly since: number
  readonly score: number
  /** Of a share, what it was expected to be; else 0. */
  readonly usual: number
  readonly threshold: number
  readonly reason: string
  /** When it was found last. */
  seen: number
}

export interface Ended {
  readonly feature: string
  readonly cause: Cause
  readonly since: number
  readonly time: number
}

export interface Outcome {
  readonly alarms: Alarm[]
  readonly ended: Ended[]
}

/** That a share is still half way between what is usual and what it was is given up at this level. */
const OVER = 0.01

export class Judge {
  readonly active = new Map<string, Active>()
  /** Moments in a row with a finding, by level and cause. */
  readonly hits = new Map<string, number>()

  /** @param q expected share of moments with an alarm when nothing drifts @param persistence moments in a row @param season milliseconds */
  moment(findings: readonly Finding[], time: number, q: number, persistence: number, season: number): Outcome {
    const adjusted = benjaminiHochberg(findings.map(({ enough, p }) => (enough ? p : NaN)))
    const outcome: Outcome = { alarms: [], ended: [] }
    findings.forEach((finding, i) => {
      if (!finding.enough) return
      const hit = adjusted[i]! <= q && finding.effect >= finding.threshold
      if (!hit && this.active.size === 0 && this.hits.size === 0) return
      const { watched, cause, level } = finding
      const key = `${cause} ${watched.name}`
      const known = this.active.get(key)
      const hits = hit ? (this.hits.get(`${level} ${key}`) ?? 0) + 1 : 0
      if (hit) this.hits.set(`${level} ${key}`, hits)
      else this.hits.delete(`${level} ${key}`)
      if (hit && known !== undefined) known.seen = time
      else if (hits >= persistence + (level === 'window' && cause === 'distribution' ? 1 : 0)) this.#raise(key, finding, time, outcome)
      else if (known !== undefined && this.#over(known, finding, time, season)) {
        this.active.delete(key)
        outcome.ended.push({ feature: watched.name, cause, since: known.since, time })
      }
    })
    return outcome
  }

  #raise(key: string, finding: Finding, time: number, { alarms }: Outcome): void {
    const { watched, cause, statistic, level, effect, threshold, count } = finding
    const reason = finding.reason()
    const score = count === null ? effect : count[0] / count[1]
    const usual = count === null ? 0 : score - effect
    const [feature, limit] = [watched.name, usual + threshold]
    this.active.set(key, { feature, cause, statistic, level, since: time, score, usual, threshold: limit, reason, seen: time })
    alarms.push({ time, kind: cause === 'outlier_share' ? 'outlier' : watched.side === 'output' ? 'prediction' : 'drift', feature, statistic, score, threshold: limit, reason })
  }

  /** What a window showed is over when a season went by without it: hours differ. What a season showed, when it is gone from that and from the last windows. */
  #over(known: Active, { count, quiet, level }: Finding, time: number, season: number): boolean {
    if (level === 'window' || time - known.seen < (known.level === 'season' ? season / 4 : season)) return false
    return count === null ? quiet : binomialAtMost(count[0], count[1], (known.usual + known.score) / 2) <= OVER
  }
}
