/** What a monitor raises when what it watches is no longer what it was. */

/** `outlier`: single predictions far from the others; `rate`: traffic, latency, errors or default fetches. */
export type AlarmKind = 'schema' | 'drift' | 'prediction' | 'label' | 'quality' | 'outlier' | 'rate'

export interface Alarm {
  /** End of the window, Unix milliseconds. */
  readonly time: number
  readonly kind: AlarmKind
  /** Column, output, label or rate; '' = the route as a whole. */
  readonly feature: string
  /** Name with its unit or base: `js_bits`, `l_infinity`, `null_share`, `auc`. */
  readonly statistic: string
  /** What is compared with the threshold; debiased where the statistic is biased. */
  readonly score: number
  readonly threshold: number
  /** One sentence with the numbers: what was expected, what was found, in which window, out of how many rows. */
  readonly reason: string
}
