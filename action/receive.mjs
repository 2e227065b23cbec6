// SPDX-License-Identifier: 0BSD
// mode: receive. What Zekt sent to this run: checked, fetched, decrypted, confirmed; completed at the job's end.
import { createHash } from 'node:crypto';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Failure, flag, input, keep, kept, mask, output, say, summarize, warn } from './runner.mjs';
import { isEnvelope, open } from './shield.mjs';
import { Zekt } from './zekt.mjs';

const VERSION = 1; // of the payload's form: docs/reference/payload.md
const MOST_OUTPUT = 65_536; // bytes; a larger one fits into no environment variable
const NAMES = [
  ['delivery-id', 'deliveryId'],
  ['correlation-id', 'correlationId'],
  ['event-id', 'eventId'],
  ['event-type', 'eventType'],
  ['source-repo', 'sourceRepo'],
  ['is-replay', 'isReplay'],
];
const CONCLUSIONS = { success: 'success', failure: 'failure', cancelled: 'failure' };
const FROM_GITHUB = 'Zekt hears from GitHub how the run ends.';
const PATIENCE = 30_000; // milliseconds for that, which no job should wait long for
const DELIVERY = /^dlv_[0-9a-z]{26}$/;
const MESSAGE = /^(.+)(\/api\/messages\/msg_[0-9a-z]{26})$/;

export async function receive() {
  const zekt = new Zekt(input('zekt-api-url'), input('audience'));
  const key = input('private-key').replaceAll('\\n', '\n'); // as secrets on one line are often written
  mask(key);
  const event = dispatched();
  const { deliveryId } = event;
  await zekt.post('/api/event-delivery/confirm', { deliveryId });
  keep('delivery', deliveryId); // from now on a failure of this step is the delivery's, too
  say(`${deliveryId} is confirmed.`);
  report(event, decrypted(await content(zekt, event), key));
}

/** The post step: how the job ended. GitHub tells Zekt too, so that this may fail. */
export async function complete() {
  const deliveryId = kept('delivery');
  if (!deliveryId) return;
  rmSync(path(deliveryId), { force: true });
  // The runner evaluates inputs anew for the post step: by then job.status is how the job ended.
  const conclusion = CONCLUSIONS[input('job-status')];
  if (!conclusion) return warn(`The job's end is not known here. ${FROM_GITHUB}`);
  try {
    const zekt = new Zekt(input('zekt-api-url'), input('audience'), PATIENCE);
    const { state } = await zekt.post('/api/event-delivery/complete', { deliveryId, conclusion });
    say(`${deliveryId} is ${state}.`);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    warn(`${error.message} ${FROM_GITHUB}`);
  }
}

/** What Zekt put into the event that started this run. */
function dispatched() {
  const text = readFileSync(process.env.GITHUB_EVENT_PATH, 'utf8');
  const zekt = JSON.parse(text).client_payload?.zekt;
  if (!zekt) {
    throw new Failure(
      `Zekt did not start this run, ${process.env.GITHUB_EVENT_NAME} did. mode: receive belongs into a workflow ` +
        'with `on: repository_dispatch: types: [EVENT_TYPE]`, whose runs Zekt starts.',
    );
  }
  if (zekt.version !== VERSION) {
    throw new Failure(
      `The event has form ${JSON.stringify(zekt.version)}, and this Action reads form ${VERSION}: take the ` +
        'version of it in `uses:` that goes with your Zekt server.',
    );
  }
  if (!DELIVERY.test(zekt.deliveryId)) throw new Failure('The event names no delivery of Zekt.');
  return { ...zekt, payload: JSON.parse(text, asWritten).client_payload.zekt.payload };
}

/** Numbers as they are written: 1.50 stays so, and so do more digits than a double has. */
function asWritten(_, value, { source }) {
  return typeof value === 'number' ? JSON.rawJSON(source) : value;
}

/** The message as text: from the event, or fetched if it was too large for it. */
async function content(zekt, { payload, payloadRef }) {
  if (!payloadRef) return JSON.stringify(payload ?? null);
  const bytes = await zekt.get(pathOf(zekt, payloadRef.url));
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  if (bytes.length !== payloadRef.bytes || sha256 !== payloadRef.sha256) {
    throw new Failure('The fetched message is not the one that the event names: have the event sent again.');
  }
  return bytes.toString('utf8');
}

/** Where to fetch it. Whoever may write to the repository can make an event: the token goes to no other server. */
function pathOf({ address, audience }, url) {
  const [, base, path] = MESSAGE.exec(url) ?? [];
  if (base !== address && base !== audience) {
    const elsewhere = address === audience ? `not at ${address}` : `neither at ${address} nor at ${audience}`;
    throw new Failure(
      `The event names a message at ${url}, which is ${elsewhere}: if that is your ` +
        "server's ZEKT_PUBLIC_URL, put it into the input `audience`, or into zekt-api-url. No token was sent there.",
    );
  }
  return path;
}

function decrypted(text, key) {
  const message = parsed(text);
  if (!isEnvelope(message)) {
    if (flag('shield') && message !== null) {
      throw new Failure('The message is not encrypted, and shield is true here: its provider has to set it, too.');
    }
    return { text, encrypted: false };
  }
  if (!key) {
    throw new Failure(
      'The message is encrypted: give this step the private half of the Shield key that is registered for this ' +
        'repository, as `private-key: ${{ secrets.NAME }}`.',
    );
  }
  const clear = open(message, key).toString('utf8');
  parsed(clear);
  return { text: clear, encrypted: true };
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new Failure('The message is not JSON: tell its provider.'); // the error would show a part of it
  }
}

function path(deliveryId) {
  return join(process.env.RUNNER_TEMP ?? tmpdir(), `zekt-${deliveryId}.json`);
}

function report(event, { text, encrypted }) {
  const file = path(event.deliveryId);
  writeFileSync(file, text, { mode: 0o600 });
  const fits = Buffer.byteLength(text) <= MOST_OUTPUT;
  if (encrypted && fits) mask(text); // the log shows what later steps are given
  output('payload', fits ? text : '');
  output('payload-file', file);
  for (const [name, value] of NAMES) output(name, event[value] ?? '');
  if (!fits) say(`The message is too large for the output payload: read the file that payload-file names.`);
  summarize('Zekt: message received', [
    ...NAMES.map(([name, value]) => [name, event[value] ?? 'hidden']),
    ['bytes', Buffer.byteLength(text)],
    ['encrypted', encrypted],
  ]);
}
