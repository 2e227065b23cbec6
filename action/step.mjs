// SPDX-License-Identifier: 0BSD
// A step from its begin to its end.
import { isRunAnew } from './proxy.mjs';
import { Failure, fail } from './runner.mjs';

/** Do the work. What goes wrong is told as an error that fails the step. */
export async function run(work) {
  try {
    if (!isRunAnew()) await work();
  } catch (error) {
    fail(error instanceof Failure ? error.message : `A bug of the Zekt Action: ${error.stack}`);
  }
}
