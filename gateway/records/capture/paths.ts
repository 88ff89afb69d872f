/**
 * Places in JSON, as `redact.paths` names them: the part of JSONPath (RFC 9535) that names places and computes nothing.
 *
 * `$.user.email`, `inputs[0].data` (the `$.` may be left out), `$.rows[*].email`, `$["a.b"]`, `$..email` (at any depth), and
 * `input.card`, `output.score`: a column of the request or the answer, in whichever format the route speaks.
 */

/** null = every key and every index. */
export interface Step {
  readonly key: string | number | null
  /** At any depth from here. */
  readonly deep: boolean
}

export type Path = readonly Step[]

/** What is redacted in the bodies of one side. */
export interface Places {
  readonly paths: readonly Path[]
  /** Names of columns. */
  readonly columns: ReadonlySet<string>
}

const STEP = /(\.\.)?\["((?:[^"\\]|\\.)*)"\]|(\.\.)?\['([^']*)'\]|\[(\d{1,9}|\*)\]|(\.\.?)([^.[\]"'\s]+)/y

/** @returns a complaint when it cannot be read */
export function parsePath(text: string): Path | string {
  const rest = text.startsWith('$') ? text.slice(1) : text.startsWith('[') ? text : `.${text}`
  const steps: Step[] = []
  STEP.lastIndex = 0
  while (STEP.lastIndex < rest.length) {
    const at = STEP.lastIndex
    const found = STEP.exec(rest)
    if (found === null) return `expected a path such as $.user.email, inputs[0].data or $.rows[*].email, found "${text}": "${rest.slice(at)}" cannot be read`
    steps.push(stepOf(found))
  }
  return steps.length > 0 ? steps : `expected a path such as $.user.email, found "${text}", which names the whole body: use \`what\``
}

function stepOf([, quotedDeep, quoted, singleDeep, single, index, dots, name]: RegExpExecArray): Step {
  if (quoted !== undefined) return { key: JSON.parse(`"${quoted}"`) as string, deep: quotedDeep !== undefined }
  if (single !== undefined) return { key: single, deep: singleDeep !== undefined }
  if (index !== undefined) return { key: index === '*' ? null : Number(index), deep: false }
  return { key: name === '*' ? null : name!, deep: dots === '..' }
}

/** @param side `input` for what is asked, `output` for what is answered @param texts each of which `parsePath` reads */
export function placesOf(side: 'input' | 'output', texts: readonly string[]): Places | null {
  const columns = texts.filter((text) => text.startsWith(`${side}.`)).map((text) => text.slice(side.length + 1))
  const paths = texts.map(parsePath).filter((path) => typeof path !== 'string')
  // A column is a member of that name in every format that has names; where the others have theirs, `redact.ts` knows.
  const named = columns.map((key): Path => [{ key, deep: true }])
  const other = side === 'input' ? 'output.' : 'input.'
  const literal = paths.filter((_path, i) => !texts[i]!.startsWith(other))
  return literal.length + named.length === 0 ? null : { paths: [...literal, ...named], columns: new Set(columns) }
}
