import { spawnSync } from 'node:child_process'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Declarations, exposition, EXPOSITION_TYPE, Histogram, processMetrics, Registry } from '../../gateway/metrics.ts'
import * as vital from '../../gateway/vital.ts'
import { describeWith } from '../servers.ts'

const groups = Object.values(vital).filter((group): group is Declarations & typeof group => typeof group === 'object' && !Array.isArray(group))

/** Every metric weir declares, with a value in every series of its closed labels. */
function everything(names: readonly string[] = ['fraud']): Registry {
  const registry = new Registry()
  for (const group of groups as readonly Declarations[]) {
    for (const [name, declaration] of Object.entries(group)) {
      for (const labels of combinations(Object.entries(declaration.labels ?? {}), names)) {
        const cell = registry.handles(group)[name]!(labels as never)
        if (cell instanceof Histogram) cell.observe(0.002)
        else cell.add(3)
      }
    }
  }
  return registry
}

function combinations(labels: readonly [string, readonly string[] | 'config'][], names: readonly string[]): Record<string, string>[] {
  const [first, ...rest] = labels
  if (first === undefined) return [{}]
  const [label, values] = first
  return (values === 'config' ? names : values).flatMap((value) => combinations(rest, names).map((others) => ({ [label]: value, ...others })))
}

describe('text', () => {
  it('is what the format says', async () => {
    const registry = new Registry()
    const handles = registry.handles({
      b_total: { type: 'counter', help: 'With \\ and\na new line.', labels: { name: 'config' } },
      a: { type: 'gauge', help: 'Any number.', labels: { is: ['nan', 'inf', 'minus', 'big', 'small'] } },
    })
    handles.b_total({ name: 'quote " backslash \\ feed \n end' }).add(2 ** 53 - 1)
    handles.a({ is: 'nan' }).set(Number.NaN)
    handles.a({ is: 'inf' }).set(Infinity)
    handles.a({ is: 'minus' }).set(-Infinity)
    handles.a({ is: 'big' }).set(1e300)
    handles.a({ is: 'small' }).set(-1.5e-7)
    const text = await exposition([registry.view()])
    expect(text.split('\n').slice(0, 10)).toEqual([
      '# HELP b_total With \\\\ and\\na new line.', '# TYPE b_total counter', 'b_total{name="quote \\" backslash \\\\ feed \\n end"} 9007199254740991', '',
      '# HELP a Any number.', '# TYPE a gauge', 'a{is="nan"} Nan', 'a{is="inf"} +Inf', 'a{is="minus"} -Inf', 'a{is="big"} 1e+300',
    ])
    expect(text.endsWith('\n')).toBe(true)
    expect(EXPOSITION_TYPE).toBe('text/plain; version=0.0.4; charset=utf-8')
  })

  it('of nothing is a page too', async () => {
    expect(await exposition([])).toContain('weir_metric_series_left_out 0\n')
  })

  it('process metrics are made once', () => {
    expect(processMetrics()).toBe(processMetrics())
  })
})

describeWith('promtool', 'promtool check metrics', (promtool) => {
  function check(text: string): { code: number | null; said: string } {
    const { status, stderr, stdout } = spawnSync(promtool, ['check', 'metrics'], { input: text, encoding: 'utf8' })
    return { code: status, said: stdout + stderr }
  }

  it('has no complaint about any metric of weir', async () => {
    const [one, two] = [everything(), everything(['fraud', 'größe "x" \\ \n y'])]
    expect(check(await exposition([one.view(), two.view()]))).toEqual({ code: 0, said: '' })
  })

  it('reads the process metrics beside them', async () => {
    const text = await exposition([everything().view()], processMetrics())
    expect(text).toContain('process_resident_memory_bytes ')
    expect(text).toContain('nodejs_eventloop_lag_p99_seconds ')
    // 3 = read, with remarks on style: some names of prom-client's own are against the custom. 1 = cannot be read.
    expect(check(text).code).toBe(3)
  })

  it('would complain about a page that is wrong', () => {
    expect(check('a_total{x="y} 1\n').code).toBe(1)
  })

  it('reads any number, help and label value', async () => {
    const text = fc.string({ unit: 'binary', maxLength: 40 })
    const sample = fc.record({ help: text.filter((help) => help.trim() !== ''), value: text, number: fc.double() })
    const pages = fc.sample(fc.array(sample, { minLength: 1, maxLength: 20 }), { numRuns: 12, seed: 7 })
    for (const samples of pages) {
      const registry = new Registry()
      samples.forEach(({ help, value, number }, i) => registry.handles({ [`g${i}`]: { type: 'gauge', help, labels: { l: 'config' } } })[`g${i}`]!({ l: value } as never).add(number))
      expect(check(await exposition([registry.view()])).said).toBe('')
    }
  })
})
