/**
 * Cells as JSON, and their sum: what several gateways counted with one profile and one window is what one gateway would have counted.
 *
 * Layout: by stretch of time (its number since 1970), the cells that are not 0 as pairs of position and count. Positions follow from the profile
 * (`watched.ts`), which `layout` stands for: cells of different profiles are not added.
 */
export interface Cells {
  readonly layout: string
  /** Milliseconds of a stretch. */
  readonly stretch: number
  readonly words: number
  /** Ascending by the number of the stretch; pairs ascending by position. */
  readonly stretches: readonly (readonly [number: number, cells: readonly (readonly [position: number, count: number])[]])[]
}

export function cellsOf(layout: string, stretch: number, words: number, counted: readonly (readonly [number, Uint32Array])[]): Cells {
  return { layout, stretch, words, stretches: counted.map(([number, cells]) => [number, sparse(cells)]) }
}

/** In any order, the same. @throws Error when profiles or windows differ */
export function merge(all: readonly Cells[]): Cells {
  const [first] = all
  if (first === undefined) throw new Error('there are no cells to merge')
  const other = all.find(({ layout, stretch }) => layout !== first.layout || stretch !== first.stretch)
  if (other !== undefined) throw new Error('cells of different profiles or windows cannot be merged')
  const sums = new Map<number, Uint32Array>()
  for (const { stretches } of all) {
    for (const [number, cells] of stretches) {
      let sum = sums.get(number)
      if (sum === undefined) sums.set(number, (sum = new Uint32Array(first.words)))
      for (const [position, count] of cells) sum[position]! += count
    }
  }
  return cellsOf(first.layout, first.stretch, first.words, [...sums].sort(([a], [b]) => a - b))
}

function sparse(cells: Uint32Array): (readonly [number, number])[] {
  const pairs: (readonly [number, number])[] = []
  for (let i = 0; i < cells.length; i++) if (cells[i]! > 0) pairs.push([i, cells[i]!])
  return pairs
}
