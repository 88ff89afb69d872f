/** What can be said about drift in a configuration. */
import { BackendName, Defaulted, Duration, FilePath, Percent, Type } from '../../plugin.ts'
import { AlarmBudget, MatrixColumns } from '../options.ts'
import { RATES } from './rates.ts'
import { STATISTICS } from './watched.ts'

const COMPARED = ['training', 'previous', 'seasons', 'last_week'] as const

const Feature = Type.Object(
  {
    threshold: Type.Optional(Type.Number({ description: 'Least effect that is an alarm, in the unit of the statistic and without its bias. Default: js_bits 0.05 (a shift of 0.55 standard deviations), psi 0.25, ks 0.2, wasserstein_sd 0.5, l_infinity 0.1, tfdv_js_bits 0.1.', exclusiveMinimum: 0 })),
    statistic: Type.Optional(Type.Enum(STATISTICS, { description: 'What is judged: of numbers js_bits unless told otherwise, of categories l_infinity. Categories have no ks and no wasserstein_sd.' })),
    watch: Type.Optional(Type.Boolean({ description: '`false`: this column is not watched.' })),
  },
  { description: 'How a column is judged.', additionalProperties: false },
)

const Model = Type.Object(
  {
    backend: BackendName({ description: 'The model, such as an isolation forest as ONNX.' }),
    output: Type.Optional(Type.String({ description: 'Output with the score, one number a row. Default: `scores`, `score` or `decision_function`, else the first.', minLength: 1, maxLength: 256 })),
    threshold: Defaulted(Type.Number({ description: 'From here on a row is an inlier.', default: 0 })),
    below: Defaulted(Type.Boolean({ description: 'Outliers lie below the threshold, as in scikit-learn; `false`: above.', default: true })),
    sample: Defaulted(Percent({ description: 'Share of the requests that is scored, those whose inference id `log` would keep with the same share.', default: '10%' })),
    columns: Type.Optional(Type.Array(Type.String({ description: 'A column of the request.', minLength: 1 }), { description: 'What the model is sent. Default: all columns of the request. Where none has such a name (a tensor of all features) it is sent as it is.', minItems: 1, maxItems: 65_536 })),
    usual: Type.Optional(Percent({ description: 'Share of outliers in the training data, `contamination` of scikit-learn. Default: what the first whole season shows; before there is no alarm.' })),
  },
  {
    description:
      'Rows of requests are scored by a model, and it is an alarm when the share of outliers rises: of a whole season by `shares`, of a window over twice the usual. A question goes after the answer, with status 2xx, in the format and at the target of the route and beside its plugins: no request waits for it, and none can be flagged or tagged for it. Where the format has typed tensors they must be those of this model. At most 4 questions a thread are under way, the others are left out and counted. It costs reading and writing the sampled bodies once more, and a run of the model.',
    additionalProperties: false,
  },
)

const Outliers = Type.Object(
  {
    fence: Defaulted(Type.Number({ description: 'A prediction this many interquartile ranges beyond the quartiles of the training data is an outlier (Tukey: 1.5 mild, 3 extreme).', default: 3, exclusiveMinimum: 0, maximum: 1000 })),
    action: Defaulted(Type.Enum(['none', 'flag', 'tag'], { description: 'What happens to predictions outside the fence: `none` counts outliers and alarms when their share rises, `flag` marks the access log too, `tag` also answers with `x-weir-outlier: <column>`.', default: 'none' })),
    model: Type.Optional(Model),
  },
  { description: 'Single predictions, or rows of requests, far from the others.', additionalProperties: false, default: {} },
)

/** Of the plugin `drift`. */
export const Options = Type.Object(
  {
    profile: FilePath({ description: 'A profile that `weir profile` made of the training data. Columns with the role `feature` are watched in requests, with the role `prediction` in answers.' }),
    window: Defaulted(
      Duration({
        description: 'Rows are compared in windows of this length, from 1m to the length of a season, of which it is a whole part. Against the training data a window is a score; alarms come from whole seasons, from the same time in earlier seasons, and from shares of nulls, NaN, unlisted and default values.',
        default: '5m',
      }),
    ),
    season: Defaulted(Duration({ description: 'After so long the hours of the traffic repeat themselves: 1d, or 7d where weekends differ much. At most 7d.', default: '1d' })),
    alarm_budget: AlarmBudget,
    persistence: Defaulted(Type.Integer({ description: 'Windows (or judgements of a season) in a row that must show a change before it is an alarm.', default: 1, minimum: 1, maximum: 100 })),
    shares: Defaulted(Percent({ description: 'By how much a share of nulls, NaN, infinite, mistyped, default or outlying values has to rise to matter. Of unlisted values a tenth of a per cent, or twice what the training data lets expect, is enough.', default: '1%' })),
    compare: Defaulted(Type.Array(Type.Enum(COMPARED, { description: 'The other side.' }), { description: 'What distributions are compared with. `training` and `seasons` (the same time in at least two earlier seasons) raise alarms, `previous` (the window before) and `last_week` are shown.', default: [...COMPARED], maxItems: 4 })),
    features: Defaulted(Type.Record(Type.String({ maxLength: 256 }), Feature, { description: 'Columns of the profile that are judged otherwise.', default: {}, maxProperties: 10_000 })),
    outputs: Defaulted(Type.Boolean({ description: 'Whether answers are watched where the profile has predictions: they are then held until they are whole.', default: true })),
    outliers: Defaulted(Outliers),
    save_every: Defaulted(Duration({ description: 'With `state`: how often counts of windows and seasons, and alarms that are on, are written there, if something changed; at least 1s. They survive a stop, and of a kill all but what came since. With other columns, grids or times they begin anew.', default: '1m' })),
    rates: Defaulted(
      Type.Array(Type.Enum(RATES, { description: 'A rate.' }), {
        description: 'Rates that are compared with the same time in earlier seasons, at least two, by CUSUM: `traffic` (requests), `latency`, `errors` (5xx, or no answer), `defaults` (values that are missing or stand for "not known").',
        default: [], maxItems: 4,
      }),
    ),
    columns: MatrixColumns('those of the profile'),
  },
  { additionalProperties: false },
)
