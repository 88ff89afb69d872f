/** What `weir --help` says. */
import type { Topic } from './orders.ts'

const HELP: Readonly<Record<Topic, string>> = {
  run: `weir run FILE [--listen ADDRESS] [--admin ADDRESS] [--threads N]
weir run --to URL [--listen ADDRESS] [--admin ADDRESS] [--threads N]

Runs the gateway. FILE is its YAML; --to proxies everything to one backend without a file.
  --listen ADDRESS   where callers come in: :8080, 127.0.0.1:8080, [::1]:8080 or unix:/run/weir.sock
  --admin ADDRESS    where /metrics, /ready and the rest are; off for none
  --threads N        data threads, or auto
SIGHUP or a change of the file reloads it; SIGTERM stops gracefully, a second one at once.
`,
  check: `weir check FILE [--connect]

Reads the configuration and lists every problem as file:line:column, path, rule, what was found and what to do.
  --connect   asks whatever it names whether it is there: a connection to every endpoint of a backend, TLS included, and
              its health check where it has one; each sink (folders get, and lose, a small file; a bucket an empty object;
              a topic is asked for; a receiver of events only connected to); the folder state; profiles. No record is sent.
Exit code 0: it can run; 1: something that it names does not answer; 2: it cannot run.
`,
  explain: `weir explain FILE [METHOD PATH [-H 'name: value' …]]

Prints the configuration with every default filled in. With a request: which route takes it, why the routes before
it do not, which plugins run in which order, and where it goes.
`,
  profile: `weir profile DATA... [-o FILE] [--time COLUMN] [--label COLUMN] [--prediction COLUMN] [--id COLUMN]
             [--model NAME[/VERSION]] [--columns a,b] [--format csv|jsonl|parquet]
weir profile --diff BEFORE AFTER

Reads data once and writes what they look like as JSON: types, presence, ranges, distributions, frequent values, and why
each line says so. It is the baseline of the plugins schema and drift. DATA are files or folders (weir's own lake too).
  -o FILE              where the profile goes; standard output without
  --time COLUMN        when a row was; without, the first column of times
  --label COLUMN       the truth;  --prediction COLUMN  what a model said;  --id COLUMN  what names a row
  --model NAME/VERSION the model that was trained on these data
  --columns a,b        only these columns
  --format FORMAT      what the files are, whatever their names end in
  --diff BEFORE AFTER  what two profiles differ in, in sentences
Exit code 0: done; 2: the data or the command line are wrong.
`,
  replay: `weir replay FILE --route NAME [--to URL] [--config FILE] [--rate N | --speed max|1|x2] [--where CONDITION]
            [--limit N] [--connections N] [--compare numeric|exact] [--tolerance N] [--json]

Sends what a log kept once more and compares the answers. FILE is a file or folder of a sink (JSONL, Parquet), or rows
of anything (CSV, JSONL, Parquet), each sent as a body of the format rows.
  --route NAME        records of this route; of a configuration, the route that rows go to
  --to URL            where requests go; its path stands before theirs, or is the path for rows
  --config FILE       a configuration: where it listens, and the path of its route
  --rate N            requests a second
  --speed max|1|x2    as fast as it goes (the default), with the spacing there was, or twice as fast
  --where CONDITION   as \`when\` in the configuration, over the request and the answer it got: status >= 500
  --limit N           at most so many;  --connections N  requests under way (16)
  --compare exact     byte for byte; numeric, the default, lets numbers differ by --tolerance (1e-6, relative)
Exit code 0: every answer is the same; 1: some are not; 2: the file or the command line are wrong.
`,
  backtest: `weir backtest FILE --config FILE --route NAME [--label COLUMN] [--time COLUMN] [--prediction a,b]
              [--from TIME] [--to TIME] [--limit N] [--json]

Runs the rows of FILE (CSV, JSONL, Parquet, or what weir logged) through the plugins and the models inside of a route, in this
process and on the time of the rows, so that weeks pass in seconds; tells which alarms would have been raised, when and
why. Nothing is sent, logged or kept: backends over HTTP answer what the file says they answered.
  --config FILE       a configuration;  --route NAME  one of its routes, with schema, drift or labels
  --label COLUMN      the truth: no part of the request; goes to the plugin labels right after its row
  --time COLUMN       when a row came in (time)
  --prediction a,b    what the model said: no part of the request; the answer of a backend over HTTP
  --from, --to TIME   rows from then on, rows before then;  --limit N  at most so many
  --json              {"rows": n, "alarms": [{"time", "kind", "feature", "statistic", "score", "threshold", "reason"}]}
Exit code 0: it ran, whatever it found; 2: the file, the configuration or the command line are wrong.
`,
}

export function helpText(topic: Topic | null): string {
  if (topic !== null) return HELP[topic]
  return `weir: the gateway in front of your models

  weir run FILE                     run the gateway that FILE describes
  weir run --to URL                 proxy to one backend, without a file
  weir check FILE [--connect]       every problem of FILE, with its place; does what it names answer?
  weir explain FILE [METHOD PATH]   the effective configuration; what would happen to a request
  weir profile DATA -o FILE         what a data set looks like: the baseline of schema and drift
  weir replay FILE --route NAME     the requests of a log once more; are the answers the same?
  weir backtest FILE --config FILE --route NAME
                                    which alarms last month would have raised
  weir --version
  weir COMMAND --help

Exit codes: 0 done, 1 it could not run, 2 the configuration or the command line is wrong.
`
}
