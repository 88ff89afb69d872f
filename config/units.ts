/** Units as people write them, both ways. Decoding expects text that the schema has already accepted. */

const DURATION = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const
const SIZE = { B: 1, kB: 1e3, MB: 1e6, GB: 1e9, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 } as const

/** `1.5s` → 1500. A number passes: it is already milliseconds (a default given in code). */
export function decodeDuration(written: unknown): number {
  return typeof written === 'number' ? written : scaled(String(written), DURATION)
}

/** `64KiB` → 65536; a bare number is bytes. */
export function decodeSize(written: unknown): number {
  return typeof written === 'number' ? written : Math.round(scaled(String(written), SIZE))
}

/** `5%` → 5; a bare number is 0–100 already. */
export function decodePercent(written: unknown): number {
  return typeof written === 'number' ? written : Number.parseFloat(String(written))
}

/** 90000 → `90s`: the largest unit that needs no fraction. */
export function formatDuration(ms: number): string {
  return written(ms, DURATION)
}

/** 65536 → `64KiB`; binary units where they fit, else bytes. */
export function formatSize(bytes: number): string {
  const { B, KiB, MiB, GiB } = SIZE
  return written(bytes, { B, KiB, MiB, GiB })
}

function scaled(text: string, units: Readonly<Record<string, number>>): number {
  const [, digits, unit] = /^([0-9.]+)([A-Za-z]+)$/.exec(text) ?? []
  const factor = unit === undefined ? undefined : units[unit]
  if (digits === undefined || factor === undefined) throw new RangeError(`not a quantity: ${text}`)
  return Number(digits) * factor
}

function written(amount: number, units: Readonly<Record<string, number>>): string {
  let best = ''
  for (const [unit, factor] of Object.entries(units)) {
    if (best === '' || (amount !== 0 && amount % factor === 0)) best = `${amount / factor}${unit}`
  }
  return best
}
