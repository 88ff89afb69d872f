/** A format whose every body holds the same columns. */
import type { Format } from '../../gateway/exchange.ts'
import type { Column } from '../../gateway/payload/columns.ts'

export function columnsFormat(columns: readonly Column[]): Format {
  return {
    name: 'rows',
    typed: false,
    readRequest: () => ({ columns }),
    readAnswer: () => ({ columns }),
    writeRequest: () => ({ type: 'application/json', body: Buffer.from('{}') }),
    writeAnswer: () => ({ type: 'application/json', body: Buffer.from('{}') }),
  }
}
