// SPDX-License-Identifier: 0BSD
// What GitHub's runner gives an action and takes from it: inputs, outputs, state, log, summary.
// Source: https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands
import { randomUUID } from 'node:crypto';
import { appendFileSync } from 'node:fs';

const MOST_ROWS = 100;
const MOST_MASKS = 1000;

/** What a person can mend: its message says what was wrong and what to do. */
export class Failure extends Error {}

/** An input, without blanks around it; '' if it was not given. */
export function input(name) {
  return (process.env[`INPUT_${name.toUpperCase()}`] ?? '').trim();
}

/** An input that is true or false; false if it was not given. */
export function flag(name) {
  const value = input(name).toLowerCase();
  if (!['', 'true', 'false'].includes(value)) {
    throw new Failure(`The input ${name} is neither true nor false.`);
  }
  return value === 'true';
}

/** What others wrote, fit for one line: nothing in it can be a command to the runner. */
export function oneLine(text, most = 1000) {
  const line = String(text).replace(/[\p{C}\p{Zl}\p{Zp}]+/gu, ' ');
  // A command begins with ::, or in its old form with ##[, which the runner looks for in all of a line.
  const plain = line.replace(/^\s*::/, ': :').replaceAll('##[', '## [');
  return plain.length > most ? `${plain.slice(0, most)}…` : plain;
}

export function say(text) {
  process.stdout.write(`${oneLine(text)}\n`);
}

export function notice(text) {
  command('notice', text);
}

export function warn(text) {
  command('warning', text);
}

export function fail(text) {
  command('error', text);
  process.exitCode = 1;
}

/** Never show this text in the log: each of its lines, but for those that say nothing, as `}` does. */
export function mask(secret) {
  const lines = secret.split(/\r?\n/).map((line) => line.trim());
  const telling = new Set(lines.filter((each) => each.length >= 8 && !each.startsWith('-----')));
  // The runner compares all that is printed from now on with each of them.
  for (const line of [...telling].slice(0, MOST_MASKS)) process.stdout.write(`::add-mask::${escaped(line)}\n`);
}

export function output(name, value) {
  append('GITHUB_OUTPUT', name, value);
}

/** Keep a value for the post step, which finds it in the environment. */
export function keep(name, value) {
  append('GITHUB_STATE', name, value);
}

export function kept(name) {
  return process.env[`STATE_${name}`] ?? '';
}

/** A table on the run's page: pairs of a name and a value, as many as fit into the megabyte of GitHub's pages. */
export function summarize(title, rows) {
  const shown = rows.slice(0, MOST_ROWS);
  if (rows.length > MOST_ROWS) shown.push(['…', `${rows.length - MOST_ROWS} more`]);
  const cells = shown.map(([name, value]) => `<tr><th>${html(name)}</th><td>${html(value)}</td></tr>`);
  write('GITHUB_STEP_SUMMARY', `<h3>${html(title)}</h3>\n<table>${cells.join('')}</table>\n\n`);
}

function command(name, text) {
  process.stdout.write(`::${name} title=Zekt::${escaped(oneLine(text))}\n`);
}

function escaped(text) {
  return text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A');
}

function html(value) {
  const names = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
  return oneLine(value).replace(/[&<>"]/g, (sign) => names[sign]);
}

function append(file, name, value) {
  const end = `end_${randomUUID()}`; // random, so that no value can hold it
  write(file, `${name}<<${end}\n${value}\n${end}\n`);
}

function write(file, text) {
  const path = process.env[file];
  if (path) appendFileSync(path, text);
}
