// SPDX-License-Identifier: 0BSD
// Calls to a Zekt server, with GitHub's token of this run. All of them can be made again safely.
import { setTimeout as sleep } from 'node:timers/promises';
import { useProxy } from './proxy.mjs';
import { Failure, mask, oneLine, say } from './runner.mjs';

const PATIENCE = 120_000; // milliseconds, for all calls of a step together
const ANSWER = 30_000; // for one answer
const MOST_BYTES = 2 ** 20; // of an answer; a message has half of it at most
const LOCAL = ['localhost', '127.0.0.1', '[::1]'];

/** Milliseconds to wait before the next try: doubled each time, never less than was asked for, and
 * not the same for all jobs of a matrix. */
export function pause(tries, asked = 0, chance = Math.random()) {
  return asked + Math.min(250 * 2 ** tries, 20_000) * (0.5 + chance / 2);
}

export class Zekt {
  #deadline;
  #token = null;

  /** A server at this address; tokens are made for `audience`, the address unless it is given. */
  constructor(address, audience = '', patience = PATIENCE) {
    this.address = checked(address);
    this.audience = audience || this.address;
    this.#deadline = performance.now() + patience;
    useProxy();
  }

  /** POST JSON, as text or as a value; gives the answer's value. */
  async post(path, body) {
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    const headers = { 'Content-Type': 'application/json' };
    const answer = await this.#call(path, { method: 'POST', body: text, headers });
    return parsed(answer) ?? refuse(`${this.address} does not answer in JSON: is it a Zekt server?`);
  }

  /** GET an answer's bytes. */
  async get(path) {
    return (await this.#call(path, { method: 'GET' })).body;
  }

  async #call(path, request) {
    this.#token ??= await this.#fetchToken();
    const headers = { ...request.headers, Authorization: `Bearer ${this.#token}` };
    const answer = await this.#ask('Zekt', this.address + path, { ...request, headers });
    if (answer.status >= 200 && answer.status < 300) return answer;
    if (answer.status >= 300 && answer.status < 400) {
      refuse(
        `${this.address} leads elsewhere (${answer.status} to ${answer.headers.get('location')}), ` +
          'where the token is not sent: put the final address into zekt-api-url.',
      );
    }
    const told = saidIn(parsed(answer));
    if (!told) refuse(`${this.address} answers ${answer.status}: is it a Zekt server?`);
    return refuse(`Zekt refuses this (${answer.status}): ${told}`);
  }

  /** GitHub's token that says which run this is. */
  async #fetchToken() {
    const { ACTIONS_ID_TOKEN_REQUEST_URL: url, ACTIONS_ID_TOKEN_REQUEST_TOKEN: token } = process.env;
    if (!url || !token) {
      refuse(
        'This job may not ask GitHub for a token. Give the job, and the workflow that calls it if it is ' +
          'a reusable one, `permissions: id-token: write`. Runs of pull requests from forks never get one.',
      );
    }
    const headers = { Authorization: `Bearer ${token}`, Accept: 'application/json' };
    const wanted = `${url}&audience=${encodeURIComponent(this.audience)}`;
    const answer = await this.#ask('GitHub', wanted, { method: 'GET', headers });
    const told = parsed(answer);
    const value = answer.status === 200 ? told?.value : null;
    if (typeof value !== 'string' || !value) {
      refuse(`GitHub gives this job no token (${answer.status}). ${saidIn(told)} Run it again, then ask GitHub.`);
    }
    mask(value);
    return value;
  }

  /** Ask until there is an answer; what may pass by itself is asked again. */
  async #ask(who, url, request) {
    for (let tries = 0; ; tries += 1) {
      const answer = await attempt(url, request, this.#deadline - performance.now());
      if (!answer.trouble) return answer;
      const wait = pause(tries, answer.retryAfter);
      if (answer.final || performance.now() + wait > this.#deadline) {
        refuse(`${who} cannot be asked (${new URL(url).origin}): ${answer.trouble}.${answer.advice ?? ''}`);
      }
      say(`${who}: ${answer.trouble}. Trying again in ${(wait / 1000).toFixed(1)} s.`);
      await sleep(wait);
    }
  }
}

function checked(address) {
  let url;
  try {
    url = new URL(address);
  } catch {
    return refuse('zekt-api-url is missing or is no URL: give the address of your Zekt server, https://…');
  }
  const safe = url.protocol === 'https:' || (url.protocol === 'http:' && LOCAL.includes(url.hostname));
  if (!safe || url.username || url.search || url.hash) {
    refuse('zekt-api-url is not an https address such as https://zekt.example: no token is sent to it.');
  }
  return address.replace(/\/+$/, '');
}

/** One try: an answer, or the trouble that there was and how long the other side asked to wait. */
async function attempt(url, request, left) {
  const signal = AbortSignal.timeout(Math.ceil(Math.max(1, Math.min(left, ANSWER))));
  try {
    const answer = await fetch(url, { ...request, redirect: 'manual', signal });
    const body = await bytes(answer);
    const { status, headers } = answer;
    const passing = status === 408 || status === 429 || (status >= 500 && status !== 501);
    if (!passing) return { status, headers, body };
    const told = saidIn(parsed({ body }));
    const trouble = `it answers ${status}${told ? `, ${told.replace(/\.$/, '')}` : ''}`;
    return { trouble, retryAfter: milliseconds(headers.get('retry-after')) };
  } catch (error) {
    if (error instanceof Failure) throw error;
    return unreached(error);
  }
}

function unreached(error) {
  if (error.name === 'TimeoutError') return { trouble: 'it did not answer in time' };
  const code = error.cause?.code ?? error.cause?.message ?? error.message;
  const final = /CERT|TLS|SELF_SIGNED|ISSUER|SIGNATURE/.test(code);
  const advice = final
    ? ' On a self-hosted runner with a certificate authority of your own, set NODE_EXTRA_CA_CERTS.'
    : '';
  return { trouble: `it cannot be reached, ${code}`, final, advice };
}

async function bytes(answer) {
  const parts = [];
  let length = 0;
  for await (const part of answer.body ?? []) {
    length += part.length;
    if (length > MOST_BYTES) refuse(`${new URL(answer.url).origin} answers with more than Zekt ever would.`);
    parts.push(part);
  }
  return Buffer.concat(parts);
}

/** The value of a JSON answer; undefined if it is none. */
function parsed(answer) {
  try {
    return JSON.parse(answer.body.toString('utf8'));
  } catch {
    return undefined;
  }
}

/** What an error's body says, wherever it says it. */
function saidIn(body) {
  const told = [body?.error, body?.message, body?.title, body?.detail].find((each) => typeof each === 'string');
  return told ? oneLine(told) : '';
}

/** A Retry-After, which is a number of seconds or a date. */
function milliseconds(header) {
  if (!header) return 0;
  const wait = /^\d+$/.test(header) ? Number(header) * 1000 : Date.parse(header) - Date.now();
  return wait > 0 ? wait : 0;
}

function refuse(text) {
  throw new Failure(text);
}
