/** /backends of a running weir with two data threads. */
import { expect, it } from 'vitest'
import { request } from './message.ts'
import { Upstream } from './scripted.ts'
import { freePort, startWeir } from './weir.ts'

interface Line {
  readonly url: string
  readonly state: string
  readonly why: string | null
  readonly answered: number
  readonly threads: readonly { readonly thread: number; readonly state: string; readonly answered: number }[]
}

it('says of every endpoint how it stands and why, and what each thread sees', async () => {
  const upstream = await Upstream.listen()
  const gone = await freePort()
  const [good, bad] = [`http://127.0.0.1:${upstream.port}`, `http://127.0.0.1:${gone}`]
  const weir = await startWeir(
    `
backends:
  up: { urls: ["${good}", "${bad}"], balance: round_robin, ejection: { consecutive: 1, base: 60s, max: 60s } }
routes:
  - { name: all, match: { path: "/**" }, backend: up }
`,
    { threads: 2 },
  )
  try {
    const lines = async (): Promise<Line[]> => {
      const body = (await (await fetch(`http://127.0.0.1:${weir.admin}/backends`)).json()) as { backends: { name: string; endpoints: Line[] }[] }
      expect(body.backends.map(({ name }) => name)).toEqual(['up'])
      return body.backends[0]!.endpoints
    }
    const before = await lines()
    expect(before.map(({ url, state, why, threads }) => [url, state, why, threads.map(({ thread }) => thread)])).toEqual([[good, 'available', null, [0, 1]], [bad, 'available', null, [0, 1]]])
    const statuses: number[] = []
    for (let i = 0; i < 24; i++) statuses.push((await weir.exchange(request('GET', '/'))).status)
    const [answering, ejected] = await lines()
    expect([answering!.state, answering!.answered]).toEqual(['available', statuses.filter((status) => status === 200).length])
    expect(answering!.threads.reduce((sum, { answered }) => sum + answered, 0)).toBe(answering!.answered)
    expect(ejected!.state).toBe('ejected')
    expect(ejected!.why).toMatch(/^too many failures in a row; out until 20\d\d-\d\d-\d\dT[\d:.]+Z \([12] of 2 threads\)$/)
  } finally {
    await weir.stop()
    await upstream.close()
  }
})
