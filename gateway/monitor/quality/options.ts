/** What can be said about labels in a configuration. */
import { Defaulted, Duration, FilePath, Percent, SelectorText, Size, Type } from '../../plugin.ts'
import { AlarmBudget } from '../options.ts'
import { ESTIMATED, STATISTICS } from './setup.ts'

const KINDS = ['binary', 'multiclass', 'regression', 'ranking'] as const
/** All that is measured or estimated, of whatever kind. */
export const NAMES: readonly string[] = [...new Set(KINDS.flatMap((kind) => [...STATISTICS[kind], ...ESTIMATED[kind]]))]

const Text = (description: string) => Type.String({ description, minLength: 1, maxLength: 256 })
const Secret = (description: string) => Type.String({ description, minLength: 16, maxLength: 1024 })

/** Of the plugin `labels`. */
export const Options = Type.Object(
  {
    path: Defaulted(Type.String({ description: 'Where labels are posted to on the traffic listener, before all routes. Routes may share it: labels go to the first whose predictions they are about.', pattern: '^/[A-Za-z0-9._~/-]*$', maxLength: 256, default: '/labels' })),
    prediction: Defaulted(SelectorText({ description: 'The column of the answer that is judged, `output.NAME`: a probability (binary; of several values a row the last), one a class (multiclass), a number (regression), a score an item (ranking). Answers are held until they are whole.', default: 'output.score' })),
    kind: Defaulted(Type.Enum(KINDS, { description: 'What is predicted.', default: 'binary' })),
    positive: Type.Optional(Text('Binary: the label of the class that the probability is about. Default: 1 and true, against 0 and false.')),
    negative: Type.Optional(Text('Binary: the only other label. Default: every label that is not `positive`.')),
    classes: Defaulted(Type.Array(Text('A label.'), { description: 'Multiclass: the labels, in the order of the probabilities.', default: [], maxItems: 64 })),
    thresholds: Defaulted(Type.Array(Type.Number({ description: 'A probability.', minimum: 0, maximum: 1 }), { description: 'Binary: from where on a prediction counts as positive. Alarms and estimates go by the first.', default: [0.5], minItems: 1, maxItems: 8 })),
    k: Defaulted(Type.Integer({ description: 'Ranking: places that count for NDCG.', minimum: 1, maximum: 1000, default: 10 })),
    gain: Defaulted(Type.Enum(['linear', 'exponential'], { description: 'Ranking: a relevance r is worth r, or 2^r − 1.', default: 'linear' })),
    by: Defaulted(Type.Enum(['inference_id', 'request_id'], { description: 'Which id of the exchange labels name, under this key.', default: 'inference_id' })),
    sample: Defaulted(Percent({ description: 'Share of the exchanges whose labels are waited for, by the hash of the id: the same ones as `log` keeps with the same share and id.', default: '100%' })),
    window: Defaulted(Duration({ description: 'Numbers are kept by windows of this length, of the time of the prediction.', default: '1h' })),
    span: Defaulted(Duration({ description: 'What is judged at the end of each window: the windows of so long before. A day evens out the hours of the day.', default: '1d' })),
    delay: Defaulted(Duration({ description: 'How long labels usually take: windows are judged so long after their end, and not on the labels that happen to be quick.', default: '0s' })),
    keep: Defaulted(Duration({ description: 'Longest time a prediction waits for its label.', default: '7d' })),
    save_every: Defaulted(Duration({ description: 'With `state`: how often ids and windows are written there, if something changed; at least 1s. They survive a stop, and of a kill all but what came since. With other `window`, `keep`, `by`, `max_ids` or classes they begin anew.', default: '1m' })),
    max_ids: Defaulted(Type.Integer({ description: 'Most predictions that wait for labels: 28 bytes each and 8 a score, in memory of all threads. When their places run out (in sets of 8, so some from 70 % on) the oldest are forgotten.', minimum: 8, maximum: 50_000_000, default: 1_000_000 })),
    max_rows: Defaulted(Type.Integer({ description: 'Most rows of one answer that are kept.', minimum: 1, maximum: 100_000, default: 1000 })),
    max_body: Defaulted(Size({ description: 'Most bytes of labels in one request.', default: '1MiB' })),
    duplicates: Defaulted(Type.Enum(['first', 'last'], { description: 'Which of several labels of one prediction counts. Of a ranking always the first.', default: 'first' })),
    token: Type.Optional(Secret('Labels are taken only with `authorization: Bearer` and this. Default: from everybody who reaches the listener.')),
    receipt: Type.Optional(
      Type.Object(
        {
          secret: Secret('Signs receipts (HMAC-SHA256). Another instance with the same secret and route takes their labels too.'),
          previous: Defaulted(Type.Array(Secret('A secret.'), { description: 'Secrets that were used before and are still accepted.', default: [], maxItems: 8 })),
          header: Defaulted(Type.String({ description: 'Field of the answer that carries it.', pattern: '^[a-z0-9-]+$', maxLength: 64, default: 'x-weir-receipt' })),
        },
        { description: 'Gives every answer of up to 64 scores a signed receipt. A label that comes with its receipt needs no memory here.', additionalProperties: false },
      ),
    ),
    segments: Type.Optional(
      Type.Object(
        {
          by: Type.Optional(SelectorText({ description: 'What tells segments apart. Default: the arm of a split, else the backend that answered.' })),
          values: Type.Array(Text('A value.'), { description: 'Segments with numbers of their own; the rest is one more.', minItems: 1, maxItems: 16 }),
        },
        { description: 'Numbers for parts of the traffic, too.', additionalProperties: false },
      ),
    ),
    profile: Type.Optional(FilePath({ description: 'A profile that `weir profile` made of the training data: what its label column holds is what labels are compared with.' })),
    label: Type.Optional(Text('Name of the label column of the profile. Default: the one whose role is label.')),
    ratio: Defaulted(Type.Number({ description: 'Label drift: a class whose share is this many times that of training, or that part of it.', minimum: 1, maximum: 1000, default: 1.5 })),
    distance: Defaulted(Type.Number({ description: 'Label drift of numbers: Kolmogorov-Smirnov distance from training.', minimum: 0, maximum: 1, default: 0.1 })),
    alarms: Defaulted(
      Type.Record(Type.String({ pattern: `^(${NAMES.join('|')})$` }), Type.Object({ min: Type.Optional(Type.Number({ description: 'The least that is right.' })), max: Type.Optional(Type.Number({ description: 'The largest that is right.' })) }, { description: 'Bounds of one number.', additionalProperties: false }), {
        description: 'Bounds of quality, such as `auc: { min: 0.7 }`. An alarm is raised when chance does not explain that a number is beyond. `estimated_…` are known before labels are, and trust the probabilities.',
        additionalProperties: false,
        default: {},
      }),
    ),
    min_labels: Defaulted(Type.Integer({ description: 'Labels (or predictions, of what is estimated) without which a span is not judged.', minimum: 2, maximum: 1_000_000_000, default: 100 })),
    alarm_budget: AlarmBudget,
  },
  { additionalProperties: false },
)
