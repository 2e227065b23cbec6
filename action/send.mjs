// SPDX-License-Identifier: 0BSD
// mode: send. A message of this run goes to Zekt, and from there with the run's event to every consumer.
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { Failure, flag, input, notice, output, say, summarize, warn } from './runner.mjs';
import { fingerprint, seal } from './shield.mjs';
import { Zekt } from './zekt.mjs';

const MOST_BYTES = 524_288; // of a message
const FITS = 50_000; // about so much goes inside GitHub's 64 KB
const COUNTS = { consumersNotified: 0, consumersLeftOut: 0 };
const UNTOLD = { eventId: '', messageId: '', correlationId: '', ...COUNTS, redactions: [], message: '' };

export async function send() {
  output('status', 'failed'); // a later line of the same name counts instead
  if (flag('orchestrate')) return orchestrate();
  const eventType = input('event-type');
  if (!eventType) throw new Failure('The input event-type is missing: it names what consumers listen to.');
  const zekt = new Zekt(input('zekt-api-url'), input('audience'));
  const clear = message();
  const keys = flag('shield') ? await keysOf(zekt) : [];
  const payload = keys.length ? JSON.stringify(seal(Buffer.from(clear), keys)) : clear;
  check(payload);
  const answer = await zekt.post('/api/events/receive', body(eventType, payload));
  report(eventType, payload, keys, answer);
}

/** Orchestrations are the server's to know: what it answers is passed on. */
async function orchestrate() {
  const zekt = new Zekt(input('orchestration-api-url') || input('zekt-api-url'), input('audience'));
  const wanted = JSON.parse(message());
  const { execution_id: id } = await zekt.post('/api/orchestration/submit', {
    ...wanted,
    workflow_run_id: Number(process.env.GITHUB_RUN_ID),
    execution_mode: wanted?.execution_mode ?? (input('execution_mode') || 'sequential'),
  });
  output('execution_id', id);
  output('status', 'success');
}

/** The message as it was given, byte for byte, once it is known to be JSON. */
function message() {
  const [text, file] = [input('payload'), input('payload-file')];
  if (text && file) throw new Failure('Give payload or payload-file, not both.');
  const found = file ? read(file) : text || '{}';
  try {
    JSON.parse(found);
  } catch (error) {
    // The error's own words would show a part of the message.
    const [where] = /line \d+ column \d+/.exec(error.message) ?? ['its end, or at a value without quotes'];
    throw new Failure(
      `The message is not JSON: look at ${where}. Values from expressions belong in toJSON(…), ` +
        'or into a file that `jq` writes and payload-file names.',
    );
  }
  return found;
}

function read(file) {
  const path = resolve(process.env.GITHUB_WORKSPACE ?? '.', file);
  let bytes;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    throw new Failure(`payload-file cannot be read (${error.code}): ${path}`);
  }
  try {
    // This drops a byte order mark, which PowerShell writes.
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes).trim();
  } catch {
    throw new Failure('payload-file is not UTF-8. In PowerShell: Set-Content -Encoding utf8');
  }
}

/** For whom this run can encrypt. With nobody, nothing is sent: never in clear what was to be encrypted. */
async function keysOf(zekt) {
  const { keys } = await zekt.post('/api/shield/keys', { repository: process.env.GITHUB_REPOSITORY });
  if (!keys?.length) {
    throw new Failure(
      'shield is true, but no approved consumer has registered a Shield key, so nobody could read the message: ' +
        'nothing was sent. A consumer registers one with `zekt shield keys add OWNER/REPO FILE`.',
    );
  }
  return keys;
}

function check(payload) {
  const bytes = Buffer.byteLength(payload);
  if (bytes > MOST_BYTES) {
    throw new Failure(
      `The message has ${bytes} bytes; at most ${MOST_BYTES} (512 KB) are taken, encrypted or not. ` +
        'Send an address where the rest is found.',
    );
  }
  if (bytes > FITS) {
    say(`The message has ${bytes} bytes: if it does not fit into GitHub's event, consumers fetch it (mode: receive).`);
  }
}

/** The request, with the message's own bytes, which make the same message the same. */
function body(eventType, payload) {
  const { env } = process;
  const about = JSON.stringify({
    eventType,
    repository: env.GITHUB_REPOSITORY,
    workflowRunId: env.GITHUB_RUN_ID,
    triggeredBy: env.GITHUB_ACTOR,
    commitSha: env.GITHUB_SHA,
    ref: env.GITHUB_REF,
    workflow: env.GITHUB_WORKFLOW,
    timestamp: new Date().toISOString(),
  });
  return `${about.slice(0, -1)},"payload":${payload}}`;
}

function report(eventType, payload, keys, told) {
  const answer = { ...UNTOLD, ...told };
  output('event-id', answer.eventId);
  output('message-id', answer.messageId);
  output('correlation-id', answer.correlationId);
  output('consumers-notified', answer.consumersNotified);
  output('redactions', JSON.stringify(answer.redactions));
  output('status', answer.success ? 'success' : 'failed');
  // What needs a look is shown on the run's page, too.
  const wrong = !answer.success || answer.redactions.length || answer.consumersLeftOut;
  const tell = wrong ? warn : answer.consumersNotified ? say : notice;
  tell(`${answer.eventId || 'No event'}: ${answer.message}`);
  summarize('Zekt: message sent', [
    ['Event type', eventType],
    ['Event', answer.eventId],
    ['Bytes', Buffer.byteLength(payload)],
    ['Consumers', answer.consumersNotified],
    ['What becomes of it', answer.message],
    ...answer.redactions.map(({ path, kind }) => [`Taken out at ${path}`, kind]),
    ...keys.map(({ consumerId, publicKey }) => [`Encrypted for ${consumerId}`, `SHA-256 ${fingerprint(publicKey)}`]),
  ]);
}
