// SPDX-License-Identifier: 0BSD
// The Zekt Action's main step.
import { receive } from './receive.mjs';
import { Failure, input } from './runner.mjs';
import { send } from './send.mjs';
import { run } from './step.mjs';

const MODES = { send, receive };

await run(() => {
  const mode = input('mode') || 'send';
  if (!Object.hasOwn(MODES, mode)) throw new Failure('The input mode is neither send nor receive.');
  return MODES[mode]();
});
