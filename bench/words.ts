/** Numbers and tables as the report writes them. */
export const whole = (value: number) => Math.round(value).toLocaleString('en-US')
export const times = (value: number) => `${value >= 10 ? value.toFixed(0) : value.toFixed(2)} ×`
export const ms = (value: number) => `${value.toFixed(2)} ms`
export const spread = (values: readonly number[], format: (value: number) => string) => (values.length < 2 ? format(values[0]!) : `${format(Math.min(...values))}–${format(Math.max(...values))}`)

export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  return [line(head), line(head.map((_, i) => (i === 0 ? '---' : '---:'))), ...rows.map(line)].join('\n')
}
