/** With WEIR_SEED=N random cases of property tests are the same at every run: CI asks for what it can repeat, people for new ones. */
const seed = process.env['WEIR_SEED']

if (seed !== undefined) {
  const { default: fc } = await import('fast-check')
  fc.configureGlobal({ seed: Number(seed) })
}

export {}
