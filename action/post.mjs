// SPDX-License-Identifier: 0BSD
// The Zekt Action's post step: a file of its own, so that it never sends, whatever became of the main step.
import { complete } from './receive.mjs';
import { run } from './step.mjs';

await run(complete);
