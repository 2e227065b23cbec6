// SPDX-License-Identifier: 0BSD
// The Zekt Action, both its main and its post step.
import { isRunAnew } from './proxy.mjs';
import { complete, receive } from './receive.mjs';
import { Failure, fail, input, keep, kept } from './runner.mjs';
import { send } from './send.mjs';

const MODES = { send, receive };

async function main() {
  if (kept('post')) return complete();
  keep('post', 'true');
  const mode = input('mode') || 'send';
  if (!Object.hasOwn(MODES, mode)) throw new Failure('The input mode is neither send nor receive.');
  return MODES[mode]();
}

try {
  if (!isRunAnew()) await main();
} catch (error) {
  fail(error instanceof Failure ? error.message : `A bug of the Zekt Action: ${error.stack}`);
}
