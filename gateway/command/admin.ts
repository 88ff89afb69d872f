/** The gateway as the admin listener sees it. */
import type { AdminControl, PluginReport, RecordsReport, StateReport } from '../admin/control.ts'
import type { AdminRequest } from '../plugin.ts'
import type { Control } from '../threads/control.ts'
import type { ModelReport } from '../threads/live.ts'
import type { SinkRecords } from '../threads/recording.ts'

/** For people: times are dates, memory is stated, and what is not loaded says no more than why. */
function shown({ id: _id, modified_at, loaded_at, measured, bytes, copies, signature, ...model }: ModelReport): object {
  const memory = loaded_at === 0 ? {} : { bytes, copies, memory_bytes: bytes * copies }
  return { ...model, ...measured, ...memory, modified_at: date(modified_at), loaded_at: date(loaded_at), inputs: signature?.inputs ?? [], outputs: signature?.outputs ?? [] }
}

function sinkShown({ delivery, ...counts }: SinkRecords): object {
  return { ...counts, delivery: delivery === null ? null : { ...delivery, oldest_ms: delivery.oldest_ms === null ? null : Math.round(delivery.oldest_ms), last_delivery: date(delivery.last_delivery ?? 0) } }
}

function date(ms: number): string | null {
  return ms === 0 ? null : new Date(ms).toISOString()
}

/** @param drain begins a graceful stop, once */
export function adminControl(control: Control, drain: () => void): AdminControl {
  async function plugin(route: string, name: string, path: string, { method, query, body }: AdminRequest): Promise<PluginReport> {
    const { answer, errors } = await control.plugin({ route, plugin: name, method, path, query: query.toString(), body })
    return answer.kind === 'value' ? { kind: 'answer', value: answer.value, errors } : answer
  }

  async function records(): Promise<RecordsReport> {
    const { sinks, error } = await control.records()
    return { sinks: sinks.map(sinkShown), error }
  }

  async function states(name: string): Promise<StateReport[]> {
    const found = (control.config?.routes ?? []).flatMap(({ name: route, plugins }) => plugins.filter((one) => one.name === name).map((_, nth) => ({ route, plugin: nth === 0 ? name : `${name}#${nth + 1}` })))
    return Promise.all(found.map(async ({ route, plugin: instance }) => {
      const { answer, errors } = await control.plugin({ route, plugin: instance, method: 'GET', path: '/state', query: '', body: undefined })
      return { route, plugin: instance, state: answer.kind === 'value' ? answer.value : null, errors }
    }))
  }

  return {
    views: () => control.views(),
    ready() {
      const { ready, state, threads } = control.status
      const { wanted, serving, restarts } = threads
      return { ready, reason: ready ? 'ready' : state === 'serving' ? 'no_data_thread' : state, threads: { wanted, serving, restarts } }
    },
    config() {
      const { config, loaded, synchronized, issues } = control
      return { file: config?.file ?? '', hash: config?.hash ?? '', loaded_at: loaded, synchronized, issues, config: config?.effective ?? null }
    },
    routes: () => (control.config?.routes ?? []).map(({ name, match, backend, format, plugins }) => ({ name, match, backend, format, plugins: plugins.map((one) => one.name) })),
    backends: () => control.backends(),
    records,
    alarms: () => control.alarms(),
    states,
    models: () => control.models.map(shown),
    repository: (action, name) => control.repository(action, name),
    plugin,
    async reload() {
      const { ok, issues } = await control.reload()
      return { ok, issues, hash: control.config?.hash ?? '' }
    },
    drain,
  }
}
